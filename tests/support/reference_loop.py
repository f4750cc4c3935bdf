"""The local order as a plain loop, without Beam: what every adapter is compared with.

pull, advance, persist, acknowledge, decide, publish, unmark, delete: each step is a line of `run`, and a test may kill
the loop after any of them. Nothing but the given stores survives a kill.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from schemas.events import Event
from schemas.grants import Settled, grant_records
from schemas.proposals import decode_request, encode_request
from transforms.budget.ports import Ledger
from transforms.engine import Timeline, advance, decode_state
from transforms.state.ports import BundleWrite, Outgoing, UserStates


class Killed(BaseException):
    """The process is gone."""


class Step(StrEnum):
    """After what a kill may come."""

    PULL = "pull"
    ADVANCE = "advance"
    PERSIST = "persist"
    ACKNOWLEDGE = "acknowledge"
    DECIDE = "decide"
    PUBLISH = "publish"
    UNMARK = "unmark"
    DELETE = "delete"


@dataclass
class Source:
    """A subscription: what is not acknowledged comes again, in the same order."""

    events: Sequence[Event]
    bundle: int
    acknowledged: int = 0

    def pull(self) -> Sequence[Event]:
        return self.events[self.acknowledged : self.acknowledged + self.bundle]

    def acknowledge(self, events: Sequence[Event]) -> None:
        self.acknowledged += len(events)


@dataclass
class Broker:
    """What was published, in order: grant id and the bytes a consumer would see."""

    published: list[tuple[str, str]] = field(default_factory=list)

    def publish(self, settled: Settled) -> None:
        for record in grant_records(settled):
            self.published.append((str(record["grant_id"]), repr(record)))


@dataclass
class ReferenceLoop:
    """One process. Make a new one, with the same stores, after a kill."""

    source: Source
    states: UserStates
    timeline: Timeline
    ledger: Ledger
    broker: Broker
    after: Callable[[Step], None]

    def run(self) -> None:
        """Settle what a predecessor left, then go on until the source is empty."""
        self._settle_outbox()
        while events := self.source.pull():
            self.after(Step.PULL)
            write = self._advance(events)
            self.after(Step.ADVANCE)
            self.states.commit(write)
            self.after(Step.PERSIST)
            self.source.acknowledge(events)
            self.after(Step.ACKNOWLEDGE)
            self._settle_outbox()

    def _advance(self, events: Sequence[Event]) -> BundleWrite:
        users = {event.user_id for event in events}
        cells = self.states.load(sorted(users))
        states = {user: decode_state(cells.get(user)) for user in users}
        outgoing = []
        for event in events:
            done = advance(states[event.user_id], event, self.timeline)
            states[event.user_id] = done.state
            outgoing += [Outgoing(request.key.packed(), encode_request(request)) for request in done.requests]
        return BundleWrite({user: state.encoded() for user, state in states.items()}, {}, outgoing, {})

    def _publish_logged(self, entries: set[str]) -> None:
        """All that an earlier call decided, as the log has it: its entry is unmarked as a whole."""
        for name in sorted(entries, key=int):
            entry = self.ledger.entry(name)
            assert entry is not None
            for settled in map(Settled, entry.requests, entry.decisions):
                if not settled.decision.repeated:
                    self.broker.publish(settled)

    def _settle_outbox(self) -> None:
        while waiting := self.states.outbox(100):
            proposals = [decode_request(item.proposal) for item in waiting]
            decisions = self.ledger.decide(proposals)
            self.after(Step.DECIDE)
            for settled in map(Settled, proposals, decisions):
                if not settled.decision.repeated:
                    self.broker.publish(settled)
            self._publish_logged({one.entry for one in decisions if one.repeated and one.unpublished})
            self.after(Step.PUBLISH)
            self.ledger.unmark(sorted({decision.entry for decision in decisions if decision.unpublished}))
            self.after(Step.UNMARK)
            self.states.settled([item.order_key for item in waiting])
            self.after(Step.DELETE)
