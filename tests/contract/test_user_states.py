"""What every place of a user's state owes, asked of memory, of Redis with and without its cache, and of a cluster."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from schemas.redis_connection import connect
from tests.support.user_states import a_write
from transforms.state.memory import MemoryStates
from transforms.state.ports import DUE_MS_MAX, BundleWrite, Outgoing, UserStates
from transforms.state.redis_state import RedisStates

AWKWARD_NAMES = ["", "a b", "{other}", "na\x00ul", "ünï", "\U0001f600", "-", "+", "(", "1"]
AWKWARD_KEYS = [b"\x00", b"\x00\xff", b"(", b"+", b"-", b"[", b"a", b"a\x00", b"\xff", b"\xff\xff"]


@pytest.fixture(params=["memory", "redis", "redis without cache", "cluster"])
def states(request: pytest.FixtureRequest) -> Iterator[UserStates]:
    if request.param == "memory":
        yield MemoryStates()
        return
    client = connect(request.getfixturevalue("nodes_url" if request.param == "cluster" else "clean_redis"))
    client.flushall()
    redis_states = RedisStates(client, "shop", cached_users_max=20_000 if request.param == "redis" else 0)
    yield redis_states
    redis_states.drop()
    assert client.dbsize() == 0, "drop left something behind"


def test_user_without_a_cell_is_absent(states: UserStates) -> None:
    assert states.load(["ada", "ada"]) == {}
    states.commit(a_write(cells={"ada": b"1"}))
    assert states.load(["bob", "ada", "bob"]) == {"ada": b"1"}
    assert states.load([]) == {}


def test_committed_cell_is_read_back(states: UserStates) -> None:
    states.commit(a_write(cells={"ada": b"1", "bob": b"2"}))
    states.commit(a_write(cells={"ada": b"3"}))
    assert states.load(["ada", "bob"]) == {"ada": b"3", "bob": b"2"}


def test_cell_of_none_is_deleted_and_an_empty_one_kept(states: UserStates) -> None:
    states.commit(a_write(cells={"ada": b"1", "bob": b"2"}))
    states.commit(a_write(cells={"ada": None, "bob": b"", "eve": None}))
    assert states.load(["ada", "bob", "eve"]) == {"bob": b""}


def test_any_bytes_and_any_text_are_kept(states: UserStates) -> None:
    everything = bytes(range(256))
    states.commit(
        a_write(
            cells={name: everything + name.encode() for name in AWKWARD_NAMES},
            due=dict.fromkeys(AWKWARD_NAMES, 5),
            outgoing=[(key, everything + key) for key in reversed(AWKWARD_KEYS)],
            positions=dict.fromkeys(AWKWARD_NAMES, everything),
        )
    )
    assert states.load(AWKWARD_NAMES) == {name: everything + name.encode() for name in AWKWARD_NAMES}
    assert states.due(5, 100) == sorted(AWKWARD_NAMES)
    assert states.outbox(100) == [Outgoing(key, everything + key) for key in AWKWARD_KEYS]
    assert [entry.order_key for entry in states.outbox(3, after=b"-")] == [b"[", b"a", b"a\x00"]
    assert all(states.position(name) == everything for name in AWKWARD_NAMES)


def test_users_fall_due_by_time_then_name(states: UserStates) -> None:
    states.commit(a_write(due={"zoe": -7, "bob": 10, "ada": 10, "eve": 11, "far": DUE_MS_MAX, "old": -DUE_MS_MAX}))
    assert states.due(-DUE_MS_MAX - 1, 10) == []
    assert states.due(10, 10) == ["old", "zoe", "ada", "bob"]
    assert states.due(10, 3) == ["old", "zoe", "ada"]
    assert states.due(10, 10) == ["old", "zoe", "ada", "bob"], "they stay due until a commit says otherwise"
    assert states.due(DUE_MS_MAX, 10)[-1] == "far"


def test_due_time_moves_and_goes(states: UserStates) -> None:
    states.commit(a_write(due={"ada": 10, "bob": 10}))
    states.commit(a_write(due={"ada": 20, "bob": None, "eve": None}))
    assert states.due(19, 10) == []
    assert states.due(20, 10) == ["ada"]


def test_outbox_is_read_in_the_order_of_its_keys(states: UserStates) -> None:
    states.commit(a_write(outgoing=[(b"c", b"3"), (b"a", b"1")]))
    states.commit(a_write(outgoing=[(b"b", b"2")]))
    assert states.outbox(10) == [Outgoing(b"a", b"1"), Outgoing(b"b", b"2"), Outgoing(b"c", b"3")]
    assert states.outbox(2) == [Outgoing(b"a", b"1"), Outgoing(b"b", b"2")]
    assert states.outbox(2, after=b"b") == [Outgoing(b"c", b"3")]
    assert states.outbox(2, after=b"aa") == [Outgoing(b"b", b"2"), Outgoing(b"c", b"3")]
    assert states.outbox(2, after=b"c") == []


def test_settled_proposals_leave_the_outbox_once(states: UserStates) -> None:
    states.commit(a_write(outgoing=[(b"a", b"1"), (b"b", b"2")]))
    for _ in range(2):
        states.settled([b"a", b"a", b"unknown"])
        assert states.outbox(10) == [Outgoing(b"b", b"2")]
    states.settled([])
    assert states.outbox(10) == [Outgoing(b"b", b"2")]


def test_position_is_the_last_one_committed(states: UserStates) -> None:
    assert states.position("file") is None
    states.commit(a_write(positions={"file": b"1", "other": b""}))
    states.commit(a_write(positions={"file": b"2"}))
    assert (states.position("file"), states.position("other")) == (b"2", b"")


def test_repeated_commit_changes_nothing(states: UserStates) -> None:
    states.commit(a_write(cells={"bob": b"0"}, due={"bob": 1}))
    write = a_write(
        cells={"ada": b"1", "bob": None}, due={"ada": 10, "bob": None}, outgoing=[(b"a", b"1")], positions={"f": b"9"}
    )
    for _ in range(3):
        states.commit(write)
        assert states.load(["ada", "bob"]) == {"ada": b"1"}
        assert states.due(100, 10) == ["ada"]
        assert states.outbox(10) == [Outgoing(b"a", b"1")]
        assert states.position("f") == b"9"


def test_known_order_key_gets_the_new_proposal(states: UserStates) -> None:
    states.commit(a_write(outgoing=[(b"a", b"1"), (b"a", b"2")]))
    assert states.outbox(10) == [Outgoing(b"a", b"2")]
    states.commit(a_write(outgoing=[(b"a", b"3")]))
    assert states.outbox(10) == [Outgoing(b"a", b"3")]


def test_empty_bundle_is_no_error(states: UserStates) -> None:
    states.commit(a_write())
    assert states.outbox(10) == []


@pytest.mark.parametrize(
    "wrong",
    [
        a_write(cells={"ada": b"1"}, due={"ada": DUE_MS_MAX + 1}),
        a_write(cells={"ada": b"1"}, due={"ada": -DUE_MS_MAX - 1}),
        a_write(cells={"ada": b"1"}, outgoing=[(b"a", b"1"), (b"", b"2")]),
        a_write(cells={"ada": b"1", "\ud800": b"1"}),
        a_write(cells={"ada": b"1"}, due={"\ud800": 1}),
        a_write(cells={"ada": b"1"}, positions={"\ud800": b"1"}),
    ],
    ids=["due too late", "due too early", "empty order key", "cell's user", "due user", "source"],
)
def test_bundle_that_cannot_be_kept_is_refused_whole(states: UserStates, wrong: BundleWrite) -> None:
    with pytest.raises(ValueError):
        states.commit(wrong)
    assert states.load(["ada"]) == {}
    assert states.outbox(10) == []


@pytest.mark.parametrize("limit", [0, -1])
def test_limit_below_one_is_refused(states: UserStates, limit: int) -> None:
    with pytest.raises(ValueError):
        states.due(0, limit)
    with pytest.raises(ValueError):
        states.outbox(limit)


def test_bundle_of_thousands_of_users_is_one_bundle(states: UserStates) -> None:
    users = [f"user-{number}" for number in range(5_000)]
    entries = [(b"%06d" % number, b"p") for number in range(5_000)]
    states.commit(a_write(cells=dict.fromkeys(users, b"1"), due=dict.fromkeys(users, 1), outgoing=entries))
    assert len(states.load(users)) == len(states.due(1, 10_000)) == len(states.outbox(10_000)) == 5_000
    states.commit(a_write(cells=dict.fromkeys(users), due=dict.fromkeys(users)))
    states.settled([key for key, _ in entries])
    assert (states.load(users), states.due(1, 10), states.outbox(10)) == ({}, [], [])
