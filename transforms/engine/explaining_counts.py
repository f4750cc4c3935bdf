"""Explain what a matching event did: silence, windows, counter, steps, and what the firing gives."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from schemas.events import Event
from schemas.plans import Amount, ArraySum, CelAmount, Counter, DistinctValue, Fixed, Measure, Tiers
from transforms.engine.campaigns import CompiledCampaign, Parts
from transforms.engine.conditions import Attributes
from transforms.engine.counters import OpenedCounter, Standing
from transforms.engine.explained import Step, instant, span
from transforms.engine.firing import CounterFull, Firing
from transforms.engine.incentives import amount_of
from transforms.engine.measures import Added
from transforms.engine.state import UserState
from transforms.language.needs import shown
from transforms.language.tracing import Traced, trace


class Seen(NamedTuple):
    """One event as one subject's engine saw it: the campaign, the event, what conditions see, the state before it (a
    copy, which is used up) and after it."""

    campaign: CompiledCampaign
    event: Event
    view: Attributes
    user: Attributes
    before: UserState
    after: UserState

    @property
    def parts(self) -> Parts:
        return self.campaign.parts

    @property
    def zone(self) -> str:
        return self.parts.plan.zone


def silence_step(seen: Seen) -> Step:
    """How long ago the previous such event was."""
    runner, silence_ms = seen.parts.silence, seen.parts.plan.silence_ms
    assert runner is not None and silence_ms is not None
    previous_ms, time_ms = runner.previous_ms(seen.before, seen.event.time_ms), seen.event.time_ms
    if previous_ms is None:
        told = "the user's first such event"
        return Step("silence", False, told, (f"it is {told}: there must be an earlier one",))
    apart = time_ms - previous_ms
    told = f"the previous one was {span(apart)} ago, at {instant(previous_ms, seen.zone)}; {span(silence_ms)} is asked"
    numbers = {"previous": previous_ms, "silence_ms": apart, "asked_ms": silence_ms}
    wanted = () if apart >= silence_ms else (f"{told}: {span(silence_ms - apart)} more",)
    return Step("silence", apart >= silence_ms, told, wanted, None, numbers)


def counted(seen: Seen) -> tuple[list[Step], Sequence[Firing]]:
    """The counter's steps, and what fired. The state before is used up."""
    parts = seen.parts
    counter, runner = parts.plan.counter, parts.counter
    if counter is None or runner is None:
        return [], (Firing(0, 0, None),)
    added = 1 if parts.measure is None else parts.measure(seen.view, seen.user)
    steps = [_adds(counter.measure, added, seen)]
    if added and parts.refunds is not None:
        left = parts.refunds.purchase(seen.before, seen.event, seen.view, seen.user, added).added
        if left != added:
            steps.append(_refunded_early(added, left))
        added = left
    if not added:
        return steps, ()
    value = None
    if parts.then is not None:
        value = parts.then(seen.view, seen.user)
        steps.append(_shared(seen, value))
        if value is None:
            return steps, ()
    before = runner.standing(seen.before, seen.event, value)
    if isinstance(runner, OpenedCounter):
        steps.append(_windows_open(seen, runner, before, value))
    found = runner.count(seen.before, seen.event, added, value)
    firings = found.firings if isinstance(found, CounterFull) else found
    after = {one.place: one for one in runner.standing(seen.after, seen.event, value)}
    for one in before:
        own = [firing for firing in firings if not isinstance(runner, OpenedCounter) or firing.place == one.place]
        steps.append(_stands(seen, counter, one, after.get(one.place, one), own))
    return steps, firings


def _refunded_early(added: Added, left: Added | None) -> Step:
    told = f"refunds came before it: {shown(left or 0)} of {shown(added)} is left to count"
    return Step("refunded before", bool(left), told, () if left else (told,))


def _adds(measure: Measure | None, added: Added | None, seen: Seen) -> Step:
    """What the event adds to the counter."""
    if measure is None:
        return Step("counts", True, "the event, 1")
    what = "sum" if isinstance(measure, CelAmount | ArraySum) else "distinct"
    if added:
        told = f"{shown(added)} of {_text(measure)}"
        return Step("counts", True, told, (), _traced(measure, seen), {"adds": added})
    found = f"{_text(measure)} is {'missing' if added is None else 'nothing'}: the event counts nothing"
    wanted = f"{_text(measure)} is {'missing' if added is None else shown(added)}; {what} needs a value to count"
    return Step("counts", False, found, (wanted,), _traced(measure, seen))


def _text(measure: Measure) -> str:
    if isinstance(measure, CelAmount | DistinctValue):
        return measure.expression.text.strip()
    of = measure.add if isinstance(measure, ArraySum) else measure.of
    where = f" where {measure.where.text.strip()}" if measure.where else ""
    return f"{of.text.strip()} in event.{measure.array}{where}"


def _traced(measure: Measure, seen: Seen) -> Traced | None:
    plain = isinstance(measure, CelAmount | DistinctValue)
    return trace(measure.expression, seen.view, seen.user) if plain else None  # type: ignore[union-attr]


def _shared(seen: Seen, value: str | int | None) -> Step:
    """What the event has in common with the ones that open windows."""
    opening = seen.parts.plan.opening
    assert opening is not None and opening.pairing is not None
    text = opening.pairing.then.text.strip()
    wanted = () if value is not None else (f"{text} is missing; it must name the opening event's",)
    return Step("same", value is not None, f"{text} is {shown(value)}", wanted)


def _windows_open(seen: Seen, runner: OpenedCounter, before: list[Standing], value: str | int | None) -> Step:
    opening = seen.parts.plan.opening
    assert opening is not None
    if before:
        told = ", ".join(f"{one.place} of {instant(one.start_ms or 0, seen.zone)}" for one in before)
        return Step("opened by", True, told)
    kept = runner.openings(seen.before)
    types, of = " or ".join(opening.event_types), "" if value is None else f" of {shown(value)}"
    if not kept:
        told = f"no {types} before this event"
    else:
        last = kept[-1]
        ends = "" if opening.within_ms is None else f", open to {instant(last.time_ms + opening.within_ms, seen.zone)}"
        named = "" if last.value is None else f" of {shown(last.value)}"
        told = (
            f"none is open{of}; the last {types} was {last.event_id}{named} at {instant(last.time_ms, seen.zone)}{ends}"
        )
    wanted = f"{told}; one{of} must come before the event"
    return Step("opened by", False, told, (wanted,))


def _stands(seen: Seen, counter: Counter, before: Standing, after: Standing, firings: list[Firing]) -> Step:
    """The counter in one window: before, after, what is asked, what is missing."""
    told = f"{before.value:,} before, {after.value:,} after{_window(seen, counter, after)}; {_asks(counter)}"
    if counter.restart and firings:
        told += "; firing used it up"
    numbers: dict[str, Any] = {
        "before": before.value,
        "after": after.value,
        "window_from": after.start_ms,
        "window_to": after.end_ms,
        "asked": [step.threshold for step in counter.steps],
        "fired": [counter.steps[firing.step].threshold for firing in firings],
    }
    wanted = () if firings else tuple(_missing(seen, counter, before, after))
    return Step("counter", bool(firings), told, wanted, None, numbers)


def _asks(counter: Counter) -> str:
    steps = ", ".join(f"{step.threshold:,}" for step in counter.steps)
    return {"reach": f"fires at {steps}", "every": f"fires at every {steps}", "from": f"fires from {steps} on"}[
        counter.fires
    ]


def _window(seen: Seen, counter: Counter, one: Standing) -> str:
    if one.start_ms is None:
        return " in the user's lifetime"
    start = instant(one.start_ms, seen.zone)
    if counter.window.kind == "last":
        return f" in ({start}, {instant(one.end_ms or 0, seen.zone)}]"
    if counter.window.kind == "run":
        return f" in a row, with the {counter.window.period} of {start}"
    end = "without end" if one.end_ms is None else instant(one.end_ms, seen.zone)
    return f" in [{start}, {end})"


def _missing(seen: Seen, counter: Counter, before: Standing, after: Standing) -> Iterator[str]:
    """Why nothing fired, and how far the next step is."""
    opening = seen.parts.plan.opening
    if opening is not None and opening.once_per_value and (before.fired, before.n) != (after.fired, after.n):
        yield "the same value fired after another opening event already: once a value"
        return
    if before.value == after.value:
        what = f"this {counter.window.period}" if counter.window.kind == "run" else "what the event brings"
        yield f"{what} is counted already: the counter stays at {after.value:,}"
    ahead = [step.threshold for step in counter.steps if step.threshold > after.value]
    if counter.fires == "every":
        threshold = counter.steps[0].threshold
        ahead = [(max(after.value, 0) // threshold + 1) * threshold]
    if ahead:
        unit = f" {counter.window.period}s in a row" if counter.window.kind == "run" else ""
        by = f" before {instant(after.end_ms, seen.zone)}" if _ends(counter) and after.end_ms is not None else ""
        left = ahead[0] - after.value
        yield f"the counter stands at {after.value:,} of {ahead[0]:,}{unit}: {left:,} more{by}"
    elif counter.fires == "reach" and not counter.restart:
        yield _spent(seen, counter, after)


def _ends(counter: Counter) -> bool:
    return counter.window.kind not in ("last", "run", "lifetime")


def _spent(seen: Seen, counter: Counter, after: Standing) -> str:
    """Every step is reached, and none of them now."""
    highest = counter.steps[-1].threshold
    if counter.window.kind == "last":
        return f"the counter stood at or above {highest:,} before the event too: it fires on the way up"
    if counter.window.kind == "run":
        return f"the run fired at {highest:,} already: once an unbroken run"
    ends = _ends(counter) and counter.window.kind != "opened" and after.end_ms is not None
    again = f"; the next window begins at {instant(after.end_ms or 0, seen.zone)}" if ends else ""
    return f"it fired in this window already, at {highest:,}: once a window{again}"


def gives_step(seen: Seen, firing: Firing) -> Step:
    """What a firing gives, and to whom; or why nothing."""
    parts, subject = seen.parts, seen.event.subject
    given = parts.offers.given(firing.step, seen.view, seen.user, subject)
    gifts = parts.plan.counter.steps[firing.step].gifts if parts.plan.counter else parts.plan.gifts
    found = list(parts.offers.parts(firing.step, seen.view, seen.user, subject))
    told = ", ".join(
        f"{shown(amount) if amount else 'nothing'} {gift.incentive.unit} to {recipient or 'nobody'}"
        for gift, (recipient, amount) in zip(gifts, found, strict=True)
    )
    if given is not None:
        return Step("gives", True, told, (), None, {"amounts": [amount for _, amount in given]})
    wanted = []
    for gift, (recipient, amount) in zip(gifts, found, strict=True):
        if recipient is None:
            assert gift.to is not None
            wanted.append(f"{gift.to.text.strip()} names no user")
        if not amount:
            assert not isinstance(gift.incentive.value, Fixed)
            wanted.append(_worth(gift.incentive.value.of, gift.incentive.value, seen))
    if not wanted:
        wanted.append(f"two of its grants would go to the same user ({found[0][0]}): a self-referral gives nothing")
    return Step("gives", False, told, tuple(wanted))


def _worth(of: Amount, value: Any, seen: Seen) -> str:
    base = amount_of(of)(seen.view, seen.user)
    if base is None:
        return f"{_text(of)} is missing, so the grant is worth nothing"
    if isinstance(value, Tiers) and base < value.tiers[0].start:
        return f"{_text(of)} is {base:,}; the lowest tier begins at {value.tiers[0].start:,}"
    return f"{_text(of)} is {base:,}, of which the grant would be worth 0"
