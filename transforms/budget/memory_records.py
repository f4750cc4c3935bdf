"""What the model remembers of its decisions: grants, holds, refusals, lists, and reversals that wait."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import msgspec

from schemas.grant_operations import EndedBy, GrantState
from schemas.order_keys import OrderKey, OrderKind
from schemas.proposals import Decision, GrantRequest, Hold, Occurrence, Proposal, Reversal, encode_request
from schemas.results import Outcome
from transforms.budget.ports import LogEntry

Home = tuple[str, str, bytes]
"""Campaign, generation and id of a grant."""

Content = tuple[str, int]
"""What must be the same when an id is asked again: the first grant's recipient and amount."""


@dataclass
class Made:
    """A grant or hold that was approved. told: its amount in the answer; taken: taken back of it so far; kept: of that,
    by "budget" and "limits", what was not given back to them."""

    grant: GrantRequest
    outcome: Outcome
    offer: int
    amount: int
    told: int
    entry: str
    taken: int = 0
    hold: Held | None = None
    ended_by: EndedBy = ""
    kept: Counter[str] = field(default_factory=Counter)

    @property
    def stands(self) -> int:
        return self.amount - self.taken

    @property
    def state(self) -> GrantState:
        grant, taken = self.grant, self.taken
        return GrantState(self.outcome, grant.recipient, grant.amount, self.amount, taken, self.entry, self.ended_by)


@dataclass
class Held:
    """A proposal that is held. number: holds of one OrderKey end in the order they were made."""

    proposal: Proposal
    hold: Hold
    number: int
    offer: int
    grants: list[Made]

    @property
    def ends_at(self) -> tuple[OrderKey, int]:
        return self.proposal.key._replace(time_ms=self.hold.due_ms, kind=OrderKind.TIMER), self.number


@dataclass
class Denied:
    content: Content
    decision: Decision

    @property
    def state(self) -> GrantState:
        return GrantState(Outcome.DENIED, *self.content, entry=self.decision.entry)


@dataclass
class Listed:
    """A list of offers that was answered by these grants; None for one that nobody had made."""

    content: Content
    offer: int
    grants: list[Made | None]


@dataclass
class Waiting:
    """A reversal by share that came before its grant."""

    reversal: Reversal
    place: int

    @property
    def share(self) -> tuple[int, int]:
        assert self.reversal.share is not None
        return self.reversal.share

    @property
    def whole(self) -> bool:
        return self.share[0] == self.share[1]


def home_of(grant: GrantRequest | Occurrence) -> Home:
    return grant.campaign, grant.generation, grant.grant_id


def share_of(amount: int, share: tuple[int, int]) -> int:
    return amount * share[0] // share[1]


def is_greater(share: tuple[int, int], other: tuple[int, int]) -> bool:
    return share[0] * other[1] > other[0] * share[1]


def again(known: Made | Denied | Listed, content: Content) -> Decision:
    if isinstance(known, Denied):
        return msgspec.structs.replace(known.decision, repeated=True, conflicting=known.content != content)
    if isinstance(known, Made):
        known = Listed((known.grant.recipient, known.grant.amount), known.offer, [known])
    first = next(made for made in known.grants if made is not None)
    amounts = tuple(made.told if made else 0 for made in known.grants)
    return Decision(
        first.outcome, known.offer, amounts, entry=first.entry, repeated=True, conflicting=known.content != content
    )


def names(entry: LogEntry, grant_id: bytes) -> bool:
    """Whether what was asked or brought about names the grant."""
    requests = [*entry.requests, *(request for request, _ in entry.also)]
    requests += [request for decision in entry.decisions for request, _ in decision.also]
    return any(grant_id in encode_request(request) for request in requests)
