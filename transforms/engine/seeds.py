"""Seeds: what a campaign would remember of a user at its cut-over, counted from history elsewhere.

A seed is an event of the reserved type `counter.seeded`, so it comes by every source and is taken once. It names the
campaign, its series and, as its event time, the cut-over: all before that is in the seed, all from then on is not.
"""

from __future__ import annotations

import hashlib

import msgspec

from schemas.events import COUNTER_SEEDED, Event
from schemas.grants import rfc3339
from transforms.engine.requests import Requests
from transforms.engine.state import Entry, UserState
from transforms.engine.timeline import Timeline

_decode_entries = msgspec.msgpack.Decoder(dict[str, Entry]).decode
_encode_entries = msgspec.msgpack.Encoder().encode


def seed_of(state: UserState, user: str, campaign: str, series: int, cut_over_ms: int, tenant: str) -> Event | None:
    """The seed of what a campaign remembers of a user; None if that is nothing.

    Its id follows from what it is a seed of: made again, it is a repeat.
    """
    names = [name for name in sorted(state.entries) if name.partition(":")[0] == campaign]
    entries = {name: entry for name in names if (entry := state.entry(name, series)) is not None}
    if not entries:
        return None
    of = _encode_entries((tenant, campaign, series, cut_over_ms, user))
    event_id = f"seed-{hashlib.blake2b(of, digest_size=16).hexdigest()}"
    attributes = {"campaign": campaign, "series": series, "entries": _encode_entries(entries)}
    return Event(cut_over_ms, event_id, COUNTER_SEEDED, user, attributes, 0)


def refusal(state: UserState, seed: Event, timeline: Timeline, newest_ms: int) -> str:
    """Why a seed cannot be taken after events up to newest_ms; "" if it can."""
    name, series, raw = (seed.attributes[part] for part in ("campaign", "series", "entries"))
    campaign = timeline.at(seed.time_ms).by_id.get(name)
    if campaign is None:
        return f"campaign {name!r} is not in force at {rfc3339(seed.time_ms)}, the seed's cut-over"
    if campaign.series != series:
        return f"campaign {name!r} has series {campaign.series} at its cut-over, the seed is of series {series}"
    since = campaign.since
    if since is None:
        return f"campaign {name!r} has no lookback:, or was there from the first set on: it takes no seed"
    if since.cut_over_ms != seed.time_ms:
        cut_over = rfc3339(since.cut_over_ms)
        return f"campaign {name!r} counts by itself from {cut_over} on, the seed is cut over at {rfc3339(seed.time_ms)}"
    if since.is_closed(state, newest_ms):
        return f"campaign {name!r} was seeded for this user, or fires for it since {rfc3339(since.fires_from_ms)}"
    try:
        entries = _decode_entries(raw)
    except msgspec.DecodeError as error:
        return f"entries: not what a counter of this version remembers ({error})"
    kept = {other: runner.keeps for other, runner in campaign.entries.items() if runner is not since}
    if any(kept.get(other) is not type(entry) or entry.series != series for other, entry in entries.items()):
        return f"entries: not what campaign {name!r} remembers"
    return ""


def plant(state: UserState, seed: Event, timeline: Timeline) -> None:
    """Put a seed that is not refused in the place of what was counted, and take again what came since the cut-over.

    What came since lies before the campaign fires, so taking it again asks the ledger for nothing.
    """
    name = seed.attributes["campaign"]
    campaign = timeline.at(seed.time_ms).by_id[name]
    assert campaign.since is not None
    noted = campaign.since.close(state)
    for other, runner in campaign.entries.items():
        if runner is not campaign.since:
            state.entries.pop(other, None)
    state.entries.update(_decode_entries(seed.attributes["entries"]))
    for role, event, user in noted:
        plans = timeline.at(event.time_ms)
        plans.by_id[name].take(role)(state, event, plans.view(event), user, Requests(plans.tenant))
