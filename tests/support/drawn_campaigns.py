"""Small folders of campaigns and small streams of events, drawn so that limits bite and times meet.

A folder is YAML text that the loader takes; a stream is plain events (event_time in ms) and the profiles of a users' file.
"""

from __future__ import annotations

import datetime as dt
from typing import Any, NamedTuple

import yaml
from hypothesis import strategies as st

HOUR_MS = 3_600_000
ZONES = ("UTC", "America/New_York")
STARTS = ("2026-03-05T22:00:00", "2026-03-30T00:00:00", "2026-10-30T03:00:00")
"""Before New York's clocks go forward (8 March 2026), before a month's end, before they go back (1 November)."""

USERS = ("u1", "u2", "u3")
SCHEMA: dict[str, Any] = {
    "schema": "events",
    "types": ["purchase", "refund", "cancel", "login", "mailing", "redemption", "cart", "signup"],
    "attributes": {
        "amount": "int", "currency": "string", "country": "string", "kind": "string", "order_id": "string",
        "mailing_id": "string", "cart_id": "string", "referrer_id": "string", "categories": [{"category": "string", "amount": "int"}],
    },
}  # fmt: skip
USER_SCHEMA = {"schema": "users", "attributes": {"tier": "string", "buddy": "string"}}

Drawn = st.DrawFn
Document = dict[str, Any]


class Stream(NamedTuple):
    """events: in the order of a file. profiles: by user."""

    events: list[dict[str, Any]]
    profiles: dict[str, dict[str, Any]]


def text_of(documents: list[Document]) -> str:
    """The folder's one file."""
    return yaml.dump_all([SCHEMA, USER_SCHEMA, *documents], Dumper=_WrittenOut, sort_keys=False)


class _WrittenOut(yaml.SafeDumper):
    """The same part twice is written twice: campaign files know no anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _maybe(draw: Drawn, chance: int, strategy: st.SearchStrategy[Any]) -> Any:
    """One time in `chance` something, else None; it shrinks to None."""
    return draw(strategy) if draw(st.sampled_from(range(chance))) == chance - 1 else None


def _one(*values: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from(values)


CONDITIONS = _one(
    "event.amount > 0", "event.amount > 0", "event.amount >= 10", "event.amount >= 20", "!(event.amount < 10)", "has(event.order_id)", 'event.country == "US" || event.amount > 30',
    'event.country in ["US", "DE"]', 'event.categories.exists(c, c.amount > 5)', "event.amount > 0 && !(event.country == 'US')",
)  # fmt: skip
AUDIENCES = _one(
    'user.tier == "gold"', '!(user.tier == "gold")', '"vip" in user.segments', {"include": ["u1", "u2"]}, {"exclude": ["u1"]},
    {"share": {"seed": "s", "to": "0.5"}}, {"holdout": {"seed": "t", "from": "0.3", "hash": "growthbook"}}, 'has(user.tier)',
)  # fmt: skip
ARRAY = {"add": "item.amount", "in": "event.categories", "where": 'item.category == "A"'}
SPANS = _one("6h", "1d", "2d", "7d")


@st.composite
def actives(draw: Drawn, start: str) -> Document:
    """When a campaign is active; its zone always."""
    active: Document = {"zone": draw(_one(*ZONES))}
    if after := _maybe(draw, 5, _one(0, 1, 2)):
        active["from"] = _date(start, after) + draw(_one("", "T12:00:00Z"))
    if after := _maybe(draw, 6, _one(4, 9, 30)):
        active["to"] = _date(start, after)
    if days := _maybe(draw, 8, st.lists(_one("fri", "sat", "sun", "mon"), min_size=1, unique=True)):
        active["days"] = days
    if hours := _maybe(draw, 8, _one(["22:00-06:00"], ["00:00-12:00"], ["01:00-02:30", "12:00-24:00"])):
        active["hours"] = hours
    return active


def _date(start: str, days: int) -> str:
    return (dt.datetime.fromisoformat(start) + dt.timedelta(days)).date().isoformat()


def values() -> st.SearchStrategy[Any]:
    """Of points."""
    of = _one("event.amount", "event.amount * 3", ARRAY)
    percents = st.fixed_dictionaries(
        {"percent": _one("10", "2.5", "33"), "of": of},
        optional={"round": _one("half-up", "half-even", "floor"), "max": _one(4, 9)},
    )
    tiers = _one(
        [{"from": 10, "value": 4}, {"from": 30, "percent": "50"}],
        [{"from": 0, "percent": "10"}, {"from": 20, "value": 1}],
    )
    return st.one_of(_one(1, 5, 10), percents, st.fixed_dictionaries({"of": of, "tiers": tiers}))


@st.composite
def grants(draw: Drawn, *, simple: bool) -> Any:
    """One grant, or a list for two users."""
    one: Document = {"points": draw(values())} if draw(st.integers(0, 5)) else draw(
        _one({"product": {"sku": "tea", "quantity": 2}}, {"coupon": {"code": "X"}}, {"message": {"template": "t"}})
    )  # fmt: skip
    if simple:
        return one
    if draw(st.integers(0, 4)) == 4:
        return [one, {"points": draw(values()), "to": draw(_one("event.referrer_id", "user.buddy"))}]
    if to := _maybe(draw, 8, _one("event.referrer_id", "user.buddy")):
        one["to"] = to
    return one


@st.composite
def counters(draw: Drawn, *, windowed: bool = True, offer: bool = False, simple: bool = False) -> tuple[Document, Any]:
    """What is counted and how it fires, with the campaign's grant (None with steps).

    Args:
      windowed: whether a window may be named. offer: whether it is one of a group, and so fires once an event.
      simple: the grant is one to the subject.
    """
    trigger: Document = {}
    measure = draw(_one("count", "sum", "sum", "distinct", "streak" if windowed else "count"))
    unit = {"sum": 10}.get(measure, 1)
    if measure == "streak":
        trigger["streak"] = draw(_one("days", "weeks"))
    elif measure == "sum":
        trigger["sum"] = draw(_one("event.amount", ARRAY))
    elif measure == "distinct":
        trigger["distinct"] = draw(
            _one(
                "event.country",
                "event.amount",
                {"of": "item.category", "in": "event.categories", "where": "item.amount > 0"},
            )
        )
    else:
        trigger["count"] = "events"
    if windowed and measure != "streak":
        trigger |= draw(
            _one({}, {"per": "day"}, {"per": "week"}, {"per": "month"}, {"per": "2d"}, {"last": "1d"}, {"last": "2d"})
        )
    fires = draw(_one("reach", "every", "from", "steps"))
    if fires == "every" and offer and measure not in ("count", "streak"):
        fires = "reach"
    if fires == "steps":
        starts = sorted(draw(st.sets(st.integers(1, 5), min_size=1, max_size=3)))
        trigger["steps"] = [{"reach": n * unit, "grant": draw(grants(simple=simple))} for n in starts]
        if offer or draw(st.booleans()):
            trigger["pick"] = "highest"
        return trigger, None
    trigger[fires] = draw(st.integers(1, 4)) * unit
    if fires in ("reach", "from") and measure != "streak" and draw(st.integers(0, 2)) == 2:
        trigger["restart"] = "true"
    return trigger, draw(grants(simple=simple))


SAME_ORDER = _one("event.order_id", {"first": "event.order_id", "then": "event.order_id"})


@st.composite
def refunds(draw: Drawn, trigger: Document, *, named: bool, fixed: bool) -> Document:
    """A block that fits the trigger; fixed: whether every grant is worth the same each time."""
    block: Document = {"on": draw(_one("refund", ["refund", "cancel"]))}
    if where := _maybe(draw, 5, _one("event.amount > 0", 'event.country == "US"')):
        block["where"] = where
    down = "count" in trigger or "sum" in trigger
    if down and draw(st.integers(0, 3)) == 3:
        block["counter"], down = "stays", False
    counted = any(name in trigger for name in ("count", "sum", "distinct", "streak"))
    two_way = down and not {"last", "restart", "from"} & set(trigger)
    modes = ["pro-rata", "stand"] + (["two-way"] if two_way else []) + (["whole"] if named else [])
    if mode := _maybe(draw, 2, st.sampled_from(modes)):
        block["grants"] = mode
    by_value = block.get("grants", "stand" if counted else "pro-rata") == "pro-rata" and not fixed
    if named:
        block["same"] = draw(SAME_ORDER)
        if draw(st.integers(0, 3)):
            block["amount"] = "event.amount"
            if of := _maybe(draw, 4, _one("event.amount * 2", ARRAY)):
                block["of"] = of
    elif by_value or (down and "sum" in trigger) or draw(st.booleans()):
        block["amount"] = "event.amount"
    if back := _maybe(draw, 3, st.lists(_one("budget", "limits", "lock"), unique=True, max_size=2)):
        block["gives_back"] = back
    if draw(st.integers(0, 3)) == 3:
        block["again"] = "false"
    if within := _maybe(draw, 4, _one("1d", "2d")):
        block["within"] = within
    return block


@st.composite
def limits(draw: Drawn, *, unit: str | None = None, some: bool = False) -> list[Document]:
    """A list of limits that bite; unit: of a parent's caps on amounts."""
    kinds = ["total", "hour", "day", "week", "month", "user", "user and day", "user and week", "user and month"]
    found: list[Document] = []
    for per in _total_first(draw(st.lists(st.sampled_from(kinds), unique=True, min_size=1 if some else 0, max_size=2))):
        limit: Document = {} if per == "total" else {"per": per}
        capped = draw(_one("grants", "amount", "both"))
        limit |= {"grants": draw(_one(1, 2, 3, 5, 0))} if capped != "amount" else {}
        if capped != "grants":
            limit["amount"] = draw(_one(12, 20, 33, 7, 4, 0))
            limit |= {"unit": unit} if unit else {}
        ways = (
            ["skip", "skip"] + (["cut"] if capped != "grants" else []) + ([] if per.startswith("user") else ["close"])
        )
        if (way := draw(st.sampled_from(ways))) != "skip":
            limit["when_full"] = way
        found.append(limit)
    if cooldown := _maybe(draw, 5, _one("6h", "1d")):
        found.append({"cooldown": cooldown})
    return found


def _total_first(periods: list[str]) -> list[str]:
    return sorted(periods, key=lambda period: period != "total")


@st.composite
def triggers(draw: Drawn, *, offer: bool) -> tuple[Document, Any]:
    """A trigger and its campaign's grant; offer: whether it is one of a group."""
    kind = draw(_one("each", "counter", "counter", "sequence", "absence"))
    if offer and kind in ("sequence", "absence"):
        kind = "each"
    on = {"absence": "cart", "sequence": "purchase"}.get(
        kind, draw(_one("purchase", "purchase", "purchase", ["purchase", "login"], "signup"))
    )
    trigger: Document = {"on": on}
    if where := _maybe(draw, 2, CONDITIONS):
        trigger["where"] = where
    if draw(st.sampled_from(range(12))) == 11:
        trigger["currency"] = "USD"
    if kind != "absence" and (silence := _maybe(draw, 9, _one("6h", "1d"))):
        trigger["silence"] = silence
    grant = draw(grants(simple=False)) if kind in ("each", "absence") else None
    if kind == "each" and "silence" not in trigger and on == "signup":
        trigger["subject"] = "event.referrer_id"
    if kind == "absence":
        trigger["unless"] = {"on": draw(_one("purchase", ["purchase", "cart"])), "within": draw(SPANS)}
        if draw(st.booleans()):
            trigger["unless"]["same"] = draw(_one("event.cart_id", "event.country"))
    if kind == "sequence":
        trigger["after"] = {"on": draw(_one("mailing", "purchase"))}
        trigger["after"] |= {"within": draw(SPANS)} if draw(st.booleans()) else {}
        if draw(st.booleans()):
            trigger["after"]["same"] = draw(_one("event.mailing_id", {"first": "event.kind", "then": "event.country"}))
        if draw(st.booleans()):
            return trigger, draw(grants(simple=False))
        counted, grant = draw(counters(windowed=False))
        if "same" in trigger["after"] and not {"every", "from", "restart"} & set(counted) and draw(st.booleans()):
            trigger["after"]["once"] = "value"
        return trigger | counted, grant
    if kind == "counter":
        counted, grant = draw(counters(offer=offer))
        return trigger | counted, grant
    return trigger, grant


@st.composite
def campaigns(draw: Drawn, name: str, start: str, *, offer: bool = False, limited: bool = False) -> Document:
    """One campaign. limited: with limits in any case."""
    trigger, grant = draw(triggers(offer=offer))
    campaign: Document = {"campaign": name}
    if theme := _maybe(draw, 3, _one("t1", "t2")):
        campaign["theme"] = theme
    campaign["active"] = draw(actives(start))
    remembers = {"count", "sum", "distinct", "streak", "after", "silence"} & set(trigger)
    if "from" in campaign["active"] and remembers and (lookback := _maybe(draw, 2, _one("6h", "1d", "30d"))):
        campaign["active"]["lookback"] = lookback
    if audience := _maybe(draw, 7, AUDIENCES):
        campaign["audience"] = audience
    campaign["trigger"] = trigger
    if grant is not None:
        campaign["grant"] = grant
    given = [part["grant"] for part in trigger.get("steps", [])] + ([] if grant is None else [grant])
    each = [one for some in given for one in (some if isinstance(some, list) else [some])]
    units = {_unit(one) for one in each}
    found = draw(limits(some=limited))
    if found:
        mixed = len(units) > 1
        campaign["limits"] = [limit | ({"unit": "points"} if mixed and "amount" in limit else {}) for limit in found]
    if units != {"points"}:
        campaign["cost"] = {"amount": 3, "unit": "points"}
    if "unless" not in trigger and draw(_one(False, True, True)):
        plain = len(given) == 1 and len(each) == 1 and "to" not in each[0]
        named = not plain or draw(st.integers(0, 2)) != 0
        fixed = all(not isinstance(one.get("points", 1), dict) for one in each)
        if "once" not in trigger.get("after", {}):
            campaign["refunds"] = draw(refunds(trigger, named=named, fixed=fixed))
    if hold := None if offer else _maybe(draw, 4, _one("6h", "1d", "2d")):
        campaign["hold"] = hold
    return campaign


def _unit(grant: Document) -> str:
    return next(name for name in ("points", "product", "coupon", "message") if name in grant)


@st.composite
def folders(draw: Drawn, start: str = STARTS[0]) -> list[Document]:
    """One to four campaigns, sometimes some of them in a group, themes and a tenant with limits."""
    count = draw(st.integers(1, 4))
    grouped = draw(st.integers(2, count)) if count > 1 and draw(st.integers(0, 2)) == 2 else 0
    documents: list[Document] = []
    for i in range(count):
        documents.append(draw(campaigns(f"c{i}", start, offer=i < grouped, limited=i < grouped - 1)))
    if grouped:
        picks = _one(
            "one per event", "one per user", "one per user and day", "one per user and week", "one per user and month"
        )
        order = draw(st.permutations([f"c{i}" for i in range(grouped - 1)]))
        documents.append(
            {"group": "g", "pick": draw(picks), "zone": draw(_one(*ZONES)), "offers": [*order, f"c{grouped - 1}"]}
        )
    if any(document.get("theme") for document in documents) and (capped := draw(limits(unit="points"))):
        documents.append({"theme": "t1", "zone": draw(_one(*ZONES)), "limits": capped})
    if draw(st.integers(0, 2)) == 2:
        documents.append({"tenant": "shop", "zone": draw(_one(*ZONES)), "limits": draw(limits(unit="points"))})
    return documents


GAPS_MS = (
    0,
    0,
    0,
    1000,
    HOUR_MS,
    6 * HOUR_MS,
    12 * HOUR_MS,
    24 * HOUR_MS,
    24 * HOUR_MS - 1,
    48 * HOUR_MS,
    7 * 24 * HOUR_MS,
)
TYPES = (
    ("purchase",) * 12
    + ("refund",) * 4
    + (
        "cancel",
        "login",
        "mailing",
        "mailing",
        "cart",
        "cart",
        "signup",
        "profile.updated",
        "segment.joined",
        "segment.left",
    )
)


def _flavour(
    country: str | None, currency: str | None, mailing: str | None, cart: str | None, referrer: str | None, *items: Any
) -> Document:
    named = {"country": country, "currency": currency, "mailing_id": mailing, "cart_id": cart, "referrer_id": referrer}
    found = {"kind": "US", **{name: value for name, value in named.items() if value is not None}}
    return {**found, "categories": [{"category": name, "amount": amount} for name, amount in items]} if items else found


FLAVOURS: tuple[Document, ...] = (
    _flavour("US", "USD", "A", "A", "r"),
    _flavour("US", "USD", "A", "A", "u2", ("A", 10), ("B", 3)),
    _flavour("US", "USD", "B", "B", "r", ("A", 20), ("A", 3), ("C", 0)),
    _flavour("DE", "EUR", "B", "A", "u1", ("B", 10)),
    _flavour("DE", "USD", "A", "B", "r", ("C", 6), ("A", 30)),
    _flavour(None, "USD", None, "A", "u3"),
    _flavour("US", None, "A", None, None) | {"kind": "DE", "categories": [{"category": "A"}, {"amount": 9}]},
    {"country": None, "currency": None},
)
"""What events have besides an amount and an order."""

AMOUNTS = (20, 10, 5, 50, 35, 20, 10, 0, None)


@st.composite
def streams(draw: Drawn, start: str = STARTS[0]) -> Stream:
    """Up to 25 events of up to three users: ties, gaps as long as the spans, refunds before and after, duplicates."""
    count = draw(st.sampled_from(range(26)))
    time_ms = int(dt.datetime.fromisoformat(start).replace(tzinfo=dt.UTC).timestamp() * 1000)
    users = USERS[: draw(_one(1, 1, 2, 3))]
    events: list[dict[str, Any]] = []
    whose: dict[str, str] = {}
    for i in range(count):
        time_ms += draw(st.sampled_from(GAPS_MS))
        what = draw(_happenings(i, count))
        who = whose.setdefault(what.get("order_id", ""), draw(st.sampled_from(users)))
        events.append({"event_id": f"e{i:02d}", "user_id": who, "event_time": time_ms} | what)
        match draw(st.sampled_from(range(30))):
            case 28:
                events.append(events[-1] | {"event_time": time_ms + draw(_one(0, 1000, HOUR_MS))})
            case 29 if i:
                events[-1]["event_id"] = events[-2]["event_id"]
    profile = st.fixed_dictionaries(
        {}, optional={"tier": _one("gold", "basic"), "buddy": _one("u2", "r"), "segments": _one(["vip"], [])}
    )
    profiles = draw(st.fixed_dictionaries({}, optional=dict.fromkeys(USERS, profile)))
    return Stream(draw(st.permutations(events)) if draw(st.integers(0, 3)) == 3 else events, profiles)


@st.composite
def _happenings(draw: Drawn, place: int, count: int) -> dict[str, Any]:
    """What happens: its type and attributes. place: of how many events; purchases have an order each, others name one near."""
    kind = draw(st.sampled_from(TYPES))
    if kind == "profile.updated":
        return {"event_type": kind, "tier": draw(_one("gold", "basic", None))}
    if kind.startswith("segment."):
        return {"event_type": kind, "segment": "vip"}
    near = (
        place if kind not in ("refund", "cancel") else draw(st.integers(max(0, place - 3), min(count - 1, place + 2)))
    )
    event = {
        "event_type": kind,
        "order_id": f"o{near}",
        "amount": draw(st.sampled_from(AMOUNTS)),
        **draw(st.sampled_from(FLAVOURS)),
    }
    return event if event["amount"] is not None or kind == "refund" else {**event, "amount": None}


@st.composite
def examples(draw: Drawn) -> tuple[list[Document], Stream]:
    """A folder, and a stream that begins when its campaigns do."""
    start = draw(_one(*STARTS))
    stream = draw(streams(start))
    return draw(folders(start)), stream
