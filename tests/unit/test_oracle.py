"""The oracle gives what docs/campaigns.md says: each construct with an expectation that was computed by hand."""

from __future__ import annotations

import datetime as dt
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from tests.support.oracle import Answer, interpret, world_of
from tests.support.oracle.conditions import place_of
from transforms.language.loading import read_folder

SCHEMA = """
schema: events
types: [purchase, refund, cancel, login, mailing, redemption, cart, signup]
attributes:
  amount: int
  currency: string
  country: string
  kind: string
  order_id: string
  cancelled_id: string
  mailing_id: string
  referrer_id: string
  categories: [{category: string, amount: int}]
---
schema: users
attributes: {tier: string, buddy: string}
---
"""


@pytest.fixture
def run(tmp_path: Path) -> Any:
    """What the campaigns make of the events."""

    def told(campaigns: str, *events: dict[str, Any], until: str | None = None, **profiles: dict[str, Any]) -> Answer:
        (tmp_path / "all.yaml").write_text(SCHEMA + campaigns)
        folder = read_folder(tmp_path)
        folder.require_right()
        return interpret(world_of(folder, events, profiles, None if until is None else ms(until)))

    return told


def ms(time: str) -> int:
    """`03-02` or `03-02T10:00` of 2026, UTC; a whole year may stand in front."""
    full = time if len(time) > 11 else f"2026-{time}"
    return int(dt.datetime.fromisoformat(full).replace(tzinfo=dt.UTC).timestamp() * 1000)


def event(
    event_id: str, time: str, amount: int | None = None, kind: str = "purchase", user: str = "u1", **more: Any
) -> Any:
    given = {"event_id": event_id, "event_type": kind, "user_id": user, "event_time": ms(time), **more}
    return given if amount is None else {**given, "amount": amount}


def daily(*amounts: int) -> list[Any]:
    """e1, e2 ...: a purchase a day from 2 March (a Monday) on."""
    return [event(f"e{i + 1}", f"03-{i + 2:02d}", amount) for i, amount in enumerate(amounts)]


def grants(answer: Answer) -> list[str]:
    return [f"{grant.event_id} {grant.amount}" for grant in answer.grants]


def to_whom(answer: Answer) -> list[str]:
    return [f"{grant.event_id} {grant.recipient} {grant.amount}" for grant in answer.grants]


def denials(answer: Answer) -> list[str]:
    return [f"{denied.event_id} {denied.reason}" for denied in answer.denials]


def reversals(answer: Answer) -> list[str]:
    return [
        f"{back.event_id} -{back.amount} of {'+'.join(event_id for event_id, _, _ in back.parts)}"
        for back in answer.reversals
    ]


def a_campaign(trigger: str, more: str = "", points: str = "10", name: str = "c") -> str:
    return f"campaign: {name}\ntrigger: {{{trigger}}}\ngrant: {{points: {points}}}\n{more}\n"


@pytest.mark.parametrize(
    ("active", "times", "active_at"),
    [
        ("{from: 2026-03-02, to: 2026-03-03}", "03-01T23:59 03-02 03-02T23:59 03-03", "03-02 03-02T23:59"),
        ("{from: 2026-03-02, zone: America/New_York}", "03-02T04:59 03-02T05:00", "03-02T05:00"),
        ("{days: [fri]}", "03-05T23:59 03-06T00:00 03-07T00:00", "03-06T00:00"),
        ("{hours: 17:00-20:00}", "03-02T16:59 03-02T17:00 03-02T19:59 03-02T20:00", "03-02T17:00 03-02T19:59"),
        ("{days: fri, hours: 22:00-02:00}", "03-06T01:00 03-06T22:00 03-07T01:59 03-07T02:00 03-07T22:00", "03-06T22:00 03-07T01:59"),
        # 1 November: 1:30 comes twice in New York, at 5:30 and 6:30 UTC; on 8 March 2:30 does not come.
        ("{hours: 01:00-02:00, zone: America/New_York}", "11-01T04:30 11-01T05:30 11-01T06:30 11-01T07:30", "11-01T05:30 11-01T06:30"),
        ("{hours: 02:00-03:00, zone: America/New_York}", "03-08T06:59 03-08T07:00 03-08T07:30", ""),
    ],
)  # fmt: skip
def test_schedules(run: Any, active: str, times: str, active_at: str) -> None:
    answer = run(a_campaign("on: purchase", f"active: {active}"), *(event(time, time) for time in times.split()))
    assert [grant.event_id for grant in answer.grants] == active_at.split()


@pytest.mark.parametrize(
    ("audience", "users"),
    [
        ('user.tier == "gold"', "u1"),
        ("'!(user.tier == \"gold\")'", "u2"),
        ("has(user.tier)", "u1 u2"),
        ("'\"staff\" in user.segments'", "u2"),
        ("'!(\"staff\" in user.segments)'", "u1 u3"),
        ("{include: [u1, u3], exclude: [u3]}", "u1"),
        # sha256 of "s:u1" begins with 9e, of "s:u2" with eb, of "s:u3" with 67: places 0.6, 0.9 and 0.4
        ("{share: {seed: s, to: 0.5}}", "u3"),
        ("{holdout: {seed: s, to: 0.5}}", "u1 u2"),
    ],
)
def test_audiences(run: Any, audience: str, users: str) -> None:
    profiles = {"u1": {"tier": "gold"}, "u2": {"tier": "basic", "segments": ["staff"]}}
    events = [event(user, "03-02", user=user) for user in ("u1", "u2", "u3")]
    answer = run(a_campaign("on: purchase", f"audience: {audience}"), *events, **profiles)
    assert [grant.recipient for grant in answer.grants] == users.split()


def test_profiles_change_from_their_place_in_the_total_order_on(run: Any) -> None:
    answer = run(
        a_campaign("on: purchase", 'audience: user.tier == "gold" && "vip" in user.segments'),
        event("a", "03-02"),
        event("b", "03-03", kind="profile.updated", tier="gold"),
        event("c", "03-03", kind="segment.joined", segment="vip"),
        event("bb", "03-03"),
        event("d", "03-03"),
        event("e", "03-04", kind="segment.left", segment="vip"),
        event("f", "03-05"),
        event("g", "03-06", kind="segment.joined", segment="vip"),
        event("h", "03-06"),
        event("i", "03-07", kind="profile.updated", tier=None),
        event("j", "03-08"),
    )
    assert grants(answer) == ["d 10", "h 10"]


@pytest.mark.parametrize(
    ("where", "taken"),
    [
        ("event.amount > 5", "b"),
        ("!(event.amount > 5)", "a"),
        ('event.amount > 5 || event.kind == "x"', "b c"),
        ("!has(event.amount)", "c"),
        ("event.event_id < 'b'", "a"),
        ('event.event_time >= timestamp("2026-03-03T00:00:00Z")', "b c"),
    ],
)
def test_a_missing_value_makes_a_condition_false(run: Any, where: str, taken: str) -> None:
    events = (event("a", "03-02", 5), event("b", "03-03", 6), event("c", "03-04", kind="purchase"))
    events[2]["amount"] = None
    answer = run(
        a_campaign(f"on: purchase, where: '{where.replace(chr(39), chr(34))}'"), *events[:2], {**events[2], "kind": "x"}
    )
    assert [grant.event_id for grant in answer.grants] == taken.split()


@pytest.mark.parametrize(
    ("trigger", "amounts", "fired"),
    [
        ("count: events, reach: 1", (1, 1), "e1"),
        ("count: events, every: 2", (1, 1, 1, 1, 1), "e2 e4"),
        ("count: events, from: 3", (1, 1, 1, 1), "e3 e4"),
        ("count: events, reach: 2, restart: true", (1, 1, 1, 1, 1), "e2 e4"),
        ("sum: event.amount, every: 10", (5, 25, 0, 9, 1), "e2 e2 e2 e5"),
        ("sum: event.amount, reach: 10", (9, 1, 9), "e2"),
        ("sum: event.amount, from: 10, restart: true", (9, 9, 9, 1), "e2 e4"),
        ("sum: event.amount, every: 10", (10, -5, 5, 10), "e1 e4"),
        # Monday 2 March to Sunday 8 March is one week
        ("count: events, per: week, from: 5", (1,) * 14, "e5 e6 e7 e12 e13 e14"),
        ("sum: event.amount, per: day, reach: 5", (5, 4, 6), "e1 e3"),
        # 14-day spans from the epoch: 2026-03-12 is day 20524 = 14 x 1466
        ("count: events, per: 14d, reach: 3", (1,) * 14, "e3 e13"),
        # a span of three days ends before it holds a fourth daily event: each one from the third on lifts it from 2 to 3
        ("count: events, last: 3d, reach: 3", (1,) * 5, "e3 e4 e5"),
        ("count: events, last: 4d, reach: 3", (1,) * 5, "e3"),
        ("count: events, last: 3d, from: 3", (1,) * 5, "e3 e4 e5"),
        ("count: events, last: 3d, reach: 3, restart: true", (1,) * 6, "e3 e6"),
        ("sum: event.amount, last: 2d, reach: 10", (9, 1, 1, 9, 1), "e2 e4 e5"),
        ("sum: event.amount, last: 2d, every: 10", (9, 21, 5, 15), "e2 e2 e2 e4 e4"),
    ],
)
def test_counters(run: Any, trigger: str, amounts: tuple[int, ...], fired: str) -> None:
    answer = run(a_campaign(f"on: purchase, {trigger}"), *daily(*amounts))
    assert [grant.event_id for grant in answer.grants] == fired.split()


def test_days_and_months_are_of_the_zone(run: Any) -> None:
    trigger = "on: purchase, sum: event.amount, per: month, reach: 10"
    events = (event("a", "03-01T04:00", 9), event("b", "03-01T05:00", 1), event("c", "04-01T03:59", 9))
    assert grants(run(a_campaign(trigger), *events)) == ["b 10"]
    assert grants(run(a_campaign(trigger, "active: {zone: America/New_York}"), *events)) == ["c 10"]


def test_distinct_values(run: Any) -> None:
    def bought(event_id: str, day: int, *names: str) -> Any:
        return event(event_id, f"03-{day:02d}", categories=[{"category": name, "amount": len(name)} for name in names])

    items = "distinct: {of: item.category, in: event.categories, where: item.amount > 1}"
    events = (bought("a", 2, "xx", "y"), bought("b", 3, "xx", "y"), bought("c", 4, "zz", "ww"), bought("d", 5, "zz"))
    assert grants(run(a_campaign(f"on: purchase, {items}, reach: 2"), *events)) == ["c 10"]
    assert grants(run(a_campaign(f"on: purchase, {items}, from: 1"), *events)) == ["a 10", "c 10"]
    countries = [event(f"e{i}", f"03-0{i + 2}", country=name) for i, name in enumerate("AABAA")]
    assert grants(run(a_campaign("on: purchase, distinct: event.country, reach: 2"), *countries)) == ["e2 10"]
    assert grants(run(a_campaign("on: purchase, distinct: event.country, last: 2d, reach: 2"), *countries)) == [
        "e2 10",
        "e3 10",
    ]


@pytest.mark.parametrize(("fires", "fired"), [("reach: 2", "b f"), ("every: 2", "b f"), ("from: 2", "b d f")])
def test_streaks(run: Any, fires: str, fired: str) -> None:
    times = {"a": "03-02", "b": "03-03", "c": "03-03T10:00", "d": "03-04", "e": "03-06", "f": "03-07"}
    events = [event(name, time) for name, time in times.items()]
    answer = run(a_campaign(f"on: purchase, streak: days, {fires}"), *events)
    assert [grant.event_id for grant in answer.grants] == fired.split()


def test_a_streak_of_weeks_goes_over_the_years_end(run: Any) -> None:
    times = ("2025-12-22T00:00", "2025-12-29T00:00", "2026-01-05T00:00")
    events = [event(f"e{i}", time) for i, time in enumerate(times)]
    assert grants(run(a_campaign("on: purchase, streak: weeks, every: 3"), *events)) == ["e2 10"]


def test_silence_is_inclusive_and_looks_at_such_events_only(run: Any) -> None:
    events = (event("a", "03-02", 5), event("b", "03-04", 0), event("c", "03-12", 5), event("d", "03-21T23:59", 5))
    answer = run(a_campaign("on: purchase, where: event.amount > 0, silence: 10d"), *events)
    assert grants(answer) == ["c 10"]
    counted = run(a_campaign("on: purchase, silence: 1d, count: events, reach: 2"), *daily(1, 1, 1))
    assert grants(counted) == ["e3 10"]


def test_a_sequence_fires_once_a_window_at_the_first_event(run: Any) -> None:
    trigger = "after: {on: mailing, within: 2d}, on: purchase"
    events = (
        event("p0", "03-02"), event("m1", "03-02T10:00", kind="mailing"), event("p1", "03-03"), event("p2", "03-03T01:00"),
        event("m2", "03-03T02:00", kind="mailing"), event("p3", "03-04"), event("m3", "03-10", kind="mailing"), event("p4", "03-12"),
    )  # fmt: skip
    assert grants(run(a_campaign(trigger), *events)) == ["p1 10", "p3 10"]


def test_an_event_counts_in_every_open_window(run: Any) -> None:
    trigger = "after: {on: mailing}, on: purchase, sum: event.amount, reach: 10"
    events = (event("m1", "03-01", kind="mailing"), event("m2", "03-01T01:00", kind="mailing"), *daily(5, 5, 5))
    assert grants(run(a_campaign(trigger), *events)) == ["e2 10", "e2 10"]


@pytest.mark.parametrize(("once", "fired"), [("opening", "r1 r1 r2"), ("value", "r1 r2")])
def test_a_sequence_by_value(run: Any, once: str, fired: str) -> None:
    trigger = f"after: {{on: mailing, same: event.mailing_id, once: {once}}}, on: redemption"
    events = (
        event("m1", "03-01", kind="mailing", mailing_id="A"), event("m2", "03-02", kind="mailing", mailing_id="A"),
        event("m3", "03-02", kind="mailing", mailing_id="B"), event("r0", "03-03", kind="redemption"),
        event("r1", "03-03", kind="redemption", mailing_id="A"), event("r2", "03-04", kind="redemption", mailing_id="B"),
        event("r3", "03-05", kind="redemption", mailing_id="A"),
    )  # fmt: skip
    assert [grant.event_id for grant in run(a_campaign(trigger), *events).grants] == fired.split()


def test_an_opening_event_counts_first_then_opens(run: Any) -> None:
    trigger = "after: {on: purchase}, on: purchase, count: events, reach: 1"
    assert grants(run(a_campaign(trigger), *daily(1, 1))) == ["e2 10"]


@pytest.mark.parametrize(
    ("ends", "made"),
    [("03-01T23:59", "c1"), ("03-02", "c1"), ("03-02T00:01", ""), ("03-02T23:59", ""), ("03-03", "c1"), ("03-04", "c1")],
)  # fmt: skip
def test_an_absence_is_granted_when_it_falls_due(run: Any, ends: str, made: str) -> None:
    trigger = "on: cart, unless: {on: purchase, within: 1d}"
    purchase = event("b", ends)
    answer = run(a_campaign(trigger), event("c1", "03-02", kind="cart"), purchase, event("z", "03-05", kind="login"))
    assert [grant.event_id for grant in answer.grants] == made.split()
    assert [grant.time_ms for grant in answer.grants] == [ms("03-03")] * len(made.split())


def test_an_absence_needs_its_due_time_before_the_ends(run: Any) -> None:
    trigger, cart = "on: cart, unless: {on: purchase, within: 1d}", event("c1", "03-02", kind="cart")
    assert grants(run(a_campaign(trigger), cart)) == []
    assert grants(run(a_campaign(trigger), cart, until="03-03")) == ["c1 10"]
    assert grants(run(a_campaign(trigger, "active: {to: 2026-03-03}"), cart, until="03-05")) == []


def test_a_subject_moves_another_users_counter(run: Any) -> None:
    trigger = "on: signup, subject: event.referrer_id, count: events, every: 2"
    events = [
        event("s1", "03-02", kind="signup", user="a", referrer_id="r"), event("s2", "03-03", kind="signup", user="r", referrer_id="r"),
        event("s3", "03-04", kind="signup", user="b"), event("s4", "03-05", kind="signup", user="c", referrer_id="r"),
    ]  # fmt: skip
    assert to_whom(run(a_campaign(trigger), *events)) == ["s4 r 10"]


def test_a_list_of_grants_stands_or_falls_together(run: Any) -> None:
    campaign = """
campaign: c
trigger: {on: purchase}
grant: [{points: 1}, {points: 3, to: event.referrer_id}]
limits: [{per: user and month, grants: 2}]
"""
    events = [
        event("a", "03-02", user="u1", referrer_id="r"), event("b", "03-02", user="u2"), event("c", "03-02", user="r", referrer_id="r"),
        event("d", "03-02", user="u3", referrer_id="r"), event("e", "03-02", user="u4", referrer_id="r"), event("f", "04-02", user="u4", referrer_id="r"),
    ]  # fmt: skip
    answer = run(campaign, *events)
    assert to_whom(answer) == ["a u1 1", "a r 3", "d u3 1", "d r 3", "f u4 1", "f r 3"]
    assert denials(answer) == ["e user_grants"]


@pytest.mark.parametrize(
    ("pick", "amounts", "given"),
    [
        ("every", (4, 16, 1), "e2 1|e2 3"),
        ("highest", (4, 16, 1), "e2 3"),
        ("highest", (6, 16, 1), "e1 1|e2 3"),
        ("every", (15, 15), "e1 1|e1 3"),
    ],
)
def test_ladders(run: Any, pick: str, amounts: tuple[int, ...], given: str) -> None:
    campaign = f"""
campaign: c
trigger:
  on: purchase
  sum: event.amount
  steps: [{{reach: 5, grant: {{points: 1}}}}, {{reach: 15, grant: {{points: 3}}}}]
  pick: {pick}
"""
    assert grants(run(campaign, *daily(*amounts))) == given.split("|")


@pytest.mark.parametrize(
    ("value", "amounts", "given"),
    [
        ("{percent: 2.5, of: event.amount}", (100, 20, 39, 40), (2, 0, 0, 1)),
        ("{percent: 2.5, of: event.amount, round: half-up}", (100, 20, 19, 60), (3, 1, 0, 2)),
        ("{percent: 2.5, of: event.amount, round: half-even}", (100, 20, 60, 140), (2, 0, 2, 4)),
        ("{percent: 50, of: event.amount, max: 7}", (13, 14, 100), (6, 7, 7)),
        ("{of: event.amount / 100, max: 5}", (99, 250, 1000), (0, 2, 5)),
        ("{of: event.amount, tiers: [{from: 10, value: 3}, {from: 20, percent: 25}]}", (9, 10, 19, 20, 43), (0, 3, 3, 5, 10)),
    ],
)  # fmt: skip
def test_values(run: Any, value: str, amounts: tuple[int, ...], given: tuple[int, ...]) -> None:
    expected = [f"e{i + 1} {amount}" for i, amount in enumerate(given) if amount]
    assert grants(run(a_campaign("on: purchase", points=value), *daily(*amounts))) == expected


def test_values_over_arrays_and_of_other_kinds(run: Any) -> None:
    some = event(
        "a", "03-02", categories=[{"category": "P", "amount": 30}, {"category": "Q", "amount": 5}, {"category": "P"}]
    )
    value = '{percent: 10, of: {add: item.amount, in: event.categories, where: item.category == "P"}}'
    assert grants(run(a_campaign("on: purchase", points=value), some, event("b", "03-03"))) == ["a 3"]
    kinds = """
campaign: a
trigger: {on: purchase}
grant: {coupon: {code: X}}
---
campaign: b
trigger: {on: purchase}
grant: {product: {sku: tea, quantity: 2}}
---
campaign: d
trigger: {on: purchase}
grant: {money: 5, unit: USD}
"""
    found = run(kinds, event("e", "03-02")).grants
    assert [(grant.campaign, grant.amount, grant.unit) for grant in found] == [
        ("a", 1, "coupon"),
        ("b", 2, "product"),
        ("d", 5, "USD"),
    ]


@pytest.mark.parametrize(
    ("limits", "amounts", "given", "denied"),
    [
        ("{amount: 10}", (6, 6, 4, 1), "e1 6|e3 4", "e2 amount|e4 amount"),
        ("{amount: 10, when_full: cut}", (6, 6, 1), "e1 6|e2 4", "e3 amount"),
        ("{amount: 10, when_full: close}", (6, 6, 4), "e1 6", "e2 amount|e3 closed"),
        ("{grants: 2}", (1, 1, 1), "e1 1|e2 1", "e3 grants"),
        ("{per: week, grants: 6, when_full: close}", (1,) * 8, "e1 1|e2 1|e3 1|e4 1|e5 1|e6 1|e8 1", "e7 grants"),
        ("{per: user and week, amount: 3, when_full: cut}", (2, 2, 2), "e1 2|e2 1", "e3 user_amount"),
        ("{per: user, grants: 1}", (2, 2), "e1 2", "e2 user_grants"),
        ("{cooldown: 2d}", (1, 1, 1, 1), "e1 1|e3 1", "e2 cooldown|e4 cooldown"),
        ("{amount: 0, when_full: cut}", (1,), "", "e1 amount"),
    ],
)
def test_limits(run: Any, limits: str, amounts: tuple[int, ...], given: str, denied: str) -> None:
    campaign = a_campaign("on: purchase", f"limits: [{limits}]", "{of: event.amount}")
    answer = run(campaign, *daily(*amounts))
    assert (grants(answer), denials(answer)) == ([*filter(None, given.split("|"))], [*filter(None, denied.split("|"))])


def test_parents_limits_and_costs(run: Any) -> None:
    folder = """
tenant: shop
limits: [{amount: 20, unit: USD}]
---
theme: t
limits: [{per: user, grants: 2}]
---
campaign: c
theme: t
trigger: {on: purchase}
grant: {points: 1000}
cost: {amount: 8, unit: USD}
"""
    events = [event("a", "03-02"), event("b", "03-03"), event("c", "03-04"), event("d", "03-05", user="u2")]
    answer = run(folder, *events)
    assert (grants(answer), denials(answer)) == (["a 1000", "b 1000"], ["c user_grants", "d amount"])


def test_one_per_event_falls_through(run: Any) -> None:
    folder = """
group: g
pick: one per event
offers: [large, medium]
---
campaign: large
trigger: {on: purchase, where: event.amount >= 10}
grant: {points: 5}
limits: [{per: user, grants: 1}]
---
campaign: medium
trigger: {on: purchase}
grant: {points: 2}
limits: [{amount: 4}]
"""
    answer = run(folder, *daily(10, 10, 5, 10))
    assert (grants(answer), denials(answer)) == (["e1 5", "e2 2", "e3 2"], ["e4 amount"])
    assert answer.denials[0].campaign == "g"


def test_one_per_user_and_month_locks_the_others_out(run: Any) -> None:
    folder = """
group: g
pick: one per user and month
offers: [welcome, comeback]
---
campaign: welcome
trigger: {on: purchase}
grant: {points: 5}
refunds: {on: refund, same: event.order_id}
---
campaign: comeback
trigger: {on: login}
grant: {points: 2}
"""
    answer = run(
        folder, event("a", "03-02", order_id="1"), event("b", "03-03", kind="login"), event("c", "03-04", order_id="2"),
        event("d", "03-05", kind="refund", order_id="1"), event("e", "03-06", kind="login"), event("f", "03-07", kind="refund", order_id="2"),
        event("g", "03-08", kind="login"), event("h", "03-09"), event("i", "04-01"),
    )  # fmt: skip
    assert grants(answer) == ["a 5", "c 5", "g 2", "i 5"]
    assert denials(answer) == ["b locked", "e locked", "h locked"]


def refund(event_id: str, time: str, amount: int | None = None, order: str | None = None) -> Any:
    return event(event_id, time, amount, kind="refund", **({"order_id": order} if order else {}))


def test_a_named_refund_takes_its_share_in_all(run: Any) -> None:
    campaign = a_campaign(
        "on: purchase",
        "refunds: {on: refund, same: event.order_id, amount: event.amount}",
        "{percent: 10, of: event.amount}",
    )
    answer = run(
        campaign, event("a", "03-02", 99, order_id="1"), event("b", "03-02", 50, order_id="2"), refund("r1", "03-03", 33, "1"),
        refund("r2", "03-04", 33, "1"), refund("r3", "03-05", 50, "1"), refund("r4", "03-06", 50, "9"),
    )  # fmt: skip
    assert grants(answer) == ["a 9", "b 5"]
    assert reversals(answer) == ["r1 -3 of a", "r2 -3 of a", "r3 -3 of a"]


def test_a_named_refund_may_come_before_its_purchase(run: Any) -> None:
    campaign = a_campaign(
        "on: purchase",
        "refunds: {on: refund, same: event.order_id, amount: event.amount}",
        "{percent: 10, of: event.amount}",
    )
    whole = run(campaign, refund("r", "03-01", 50, "1"), event("a", "03-02", 50, order_id="1"))
    assert (grants(whole), denials(whole), reversals(whole)) == ([], ["a reversed"], [])
    part = run(campaign, refund("r", "03-01", 25, "1"), event("a", "03-02", 50, order_id="1"))
    assert (grants(part), denials(part), reversals(part)) == (["a 5"], [], ["r -2 of a"])


def test_two_way_takes_back_and_lets_earn_again(run: Any) -> None:
    def campaign(again: str) -> str:
        return a_campaign(
            "on: purchase, sum: event.amount, reach: 10",
            f"refunds: {{on: refund, same: event.order_id, amount: event.amount, again: {again}}}",
        )

    events = (
        event("a", "03-02", 6, order_id="1"), event("b", "03-03", 6, order_id="2"), refund("r1", "03-04", 1, "1"),
        refund("r2", "03-05", 2, "1"), event("c", "03-06", 1, order_id="3"), event("d", "03-07", 5, order_id="4"),
    )  # fmt: skip
    answer = run(campaign("true"), *events)  # 6, 12, 11, 9, 10, 15
    assert (grants(answer), reversals(answer)) == (["b 10", "c 10"], ["r2 -10 of b"])
    assert grants(run(campaign("false"), *events)) == ["b 10"]


def test_multiples_are_taken_back_one_by_one(run: Any) -> None:
    campaign = a_campaign(
        "on: purchase, count: events, every: 2", "refunds: {on: refund, same: event.order_id, amount: event.amount}"
    )
    events = [event(f"e{i}", f"03-0{i}", 5, order_id=str(i)) for i in range(1, 6)]
    answer = run(
        campaign, *events, refund("r1", "03-07", 4, "1"), refund("r2", "03-08", 1, "1"), refund("r3", "03-09", 5, "2")
    )
    assert (grants(answer), reversals(answer)) == (["e2 10", "e4 10"], ["r3 -10 of e4"])  # 5, 4 after r2, 3 after r3


def test_a_purchase_refunded_before_it_came_counts_net(run: Any) -> None:
    campaign = a_campaign("on: purchase, count: events, reach: 1", "refunds: {on: refund, same: event.order_id}")
    answer = run(
        campaign,
        refund("r", "03-01", None, "1"),
        event("a", "03-02", 5, order_id="1"),
        event("b", "03-03", 5, order_id="2"),
    )
    assert (grants(answer), denials(answer)) == (["b 10"], [])


def test_a_refund_set_against_the_user_lowers_the_window_of_its_own_time(run: Any) -> None:
    campaign = a_campaign(
        "on: purchase, sum: event.amount, per: week, reach: 10", "refunds: {on: refund, amount: event.amount}"
    )
    answer = run(
        campaign, event("a", "03-02", 12), refund("r1", "03-03", 3), event("b", "03-04", 1), refund("r2", "03-09", 5),
        event("c", "03-10", 14), event("d", "03-11", 1),
    )  # fmt: skip
    assert (grants(answer), reversals(answer)) == (["a 10", "b 10", "d 10"], ["r1 -10 of a"])


def test_a_refund_set_against_the_user_takes_newest_first(run: Any) -> None:
    campaign = a_campaign(
        "on: purchase", "refunds: {on: refund, amount: event.amount}", "{percent: 10, of: event.amount}"
    )
    answer = run(
        campaign, *daily(30, 40), refund("r1", "03-10", 25), refund("r2", "03-11", 35), refund("r3", "03-12", 90)
    )
    assert reversals(answer) == ["r1 -2 of e2", "r2 -3 of e1+e2", "r3 -2 of e1"]
    whole = a_campaign("on: purchase", "refunds: {on: refund, grants: whole}")
    answer = run(whole, *daily(1, 1), *(refund(f"r{i}", f"03-1{i}") for i in range(3)))
    assert reversals(answer) == ["r0 -10 of e2", "r1 -10 of e1"]


@pytest.mark.parametrize(
    ("gives_back", "given", "denied"),
    [
        ("[budget, limits]", "a b", ""),
        ("[budget]", "a", "b user_grants"),
        ("[limits]", "a", "b grants"),
        ("[]", "a", "b user_grants"),
    ],
)
def test_what_is_given_back(run: Any, gives_back: str, given: str, denied: str) -> None:
    campaign = a_campaign(
        "on: purchase",
        f"refunds: {{on: refund, same: event.order_id, gives_back: {gives_back}}}\nlimits: [{{grants: 1}}, {{per: user, grants: 1}}]",
    )
    answer = run(
        campaign, event("a", "03-02", order_id="1"), refund("r", "03-03", None, "1"), event("b", "03-04", order_id="2")
    )
    assert [grant.event_id for grant in answer.grants] == given.split()
    assert denials(answer) == [*filter(None, [denied])]


def test_holds_are_granted_when_due_less_what_was_taken_back(run: Any) -> None:
    campaign = a_campaign(
        "on: purchase", "refunds: {on: refund, same: event.order_id, amount: event.amount}\nhold: 10d\nlimits: [{amount: 10}]",
        "{percent: 10, of: event.amount}",
    )  # fmt: skip
    answer = run(
        campaign, event("a", "03-02", 50, order_id="1"), event("b", "03-03", 50, order_id="2"), event("c", "03-04", 10, order_id="3"),
        refund("r1", "03-05", 20, "1"), refund("r2", "03-06", 50, "2"), event("d", "03-07", 70, order_id="4"), refund("r3", "03-12", 30, "1"),
        event("e", "03-16", 10, order_id="5"),
    )  # fmt: skip
    assert [(g.event_id, g.amount, g.time_ms) for g in answer.grants] == [("a", 3, ms("03-12"))]
    assert (denials(answer), reversals(answer)) == (["c amount"], ["r3 -3 of a"])


def test_duplicates_change_nothing(run: Any) -> None:
    events = [
        event("a", "03-02", 1),
        event("a", "03-02T10:00", 5),
        event("a", "03-02", 1, user="u2"),
        event("b", "03-03", 1),
    ]
    answer = run(a_campaign("on: purchase, count: events, every: 2"), *events)
    assert to_whom(answer) == ["b u1 10"]


def test_the_total_order_settles_ties(run: Any) -> None:
    campaign = a_campaign("on: purchase", "limits: [{grants: 2}]")
    answer = run(
        campaign, event("b", "03-02", user="u1"), event("a", "03-02", user="u9"), event("a", "03-02", user="u8")
    )
    assert to_whom(answer) == ["a u8 10", "a u9 10"]


@pytest.mark.parametrize(
    ("seed", "user", "place"), [("seed", "a", "0.0505"), ("seed", "b", "0.2696"), ("foo", "ab", "0.2575")]
)
def test_growthbooks_published_places(seed: str, user: str, place: str) -> None:
    assert place_of("growthbook", seed, user) == Fraction(place)


@pytest.mark.parametrize("first", [True, False])
def test_purchases_of_one_name_take_a_refund_up_one_after_the_other(run: Any, first: bool) -> None:
    campaign = a_campaign(
        "on: purchase",
        "refunds: {on: refund, same: event.order_id, amount: event.amount}",
        "{percent: 10, of: event.amount}",
    )
    bought = (event("a", "03-02", 50, order_id="1"), event("b", "03-03", 50, order_id="1"))
    answer = run(campaign, *bought, refund("r", "03-09" if first else "03-01", 80, "1"))
    assert grants(answer) == (["a 5", "b 5"] if first else ["b 5"])
    assert reversals(answer) == (["r -8 of a+b"] if first else ["r -3 of b"])
