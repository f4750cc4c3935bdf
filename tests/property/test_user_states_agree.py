"""Memory and Redis answer alike to any sequence of operations, each delivered twice."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from schemas.redis_connection import connect
from transforms.state.memory import MemoryStates
from transforms.state.ports import BundleWrite, Outgoing, UserStates
from transforms.state.redis_state import RedisStates

NAMES = st.sampled_from(["", "a", "b", "ab", "ä", "\U0001f600", "{x}", "c\x00"])
KEYS = st.sampled_from([b"\x00", b"a", b"a\x00", b"a\xff", b"b", b"(", b"+", b"-", b"\xff"])
BLOBS = st.sampled_from([b"", b"1", b"2", b"\x00\xff"])
TIMES_MS = st.integers(-3, 3) | st.sampled_from([2**53 - 1, -(2**53) + 1])
WRITES = st.builds(
    BundleWrite,
    cells=st.dictionaries(NAMES, st.none() | BLOBS, max_size=4),
    due=st.dictionaries(NAMES, st.none() | TIMES_MS, max_size=4),
    outgoing=st.lists(st.builds(Outgoing, order_key=KEYS, proposal=BLOBS), max_size=4),
    positions=st.dictionaries(NAMES, BLOBS, max_size=2),
)
SETTLEMENTS = st.lists(KEYS, max_size=4)
READS = st.tuples(st.lists(NAMES, max_size=4), TIMES_MS, st.integers(1, 4), st.just(b"") | KEYS)
STEPS = st.lists(WRITES | SETTLEMENTS | READS, min_size=1, max_size=12)

Step = BundleWrite | list[bytes] | tuple[list[str], int, int, bytes]


def _answers(states: UserStates, step: Step) -> list[object]:
    """Deliver a step twice; what it answered, and for a write what is there afterwards."""
    if isinstance(step, BundleWrite):
        for _ in range(2):
            states.commit(step)
        return [states.load(sorted(step.cells)), states.due(2**53, 100), states.outbox(100)]
    if isinstance(step, list):
        for _ in range(2):
            states.settled(step)
        return [states.outbox(100)]
    users, until_ms, limit, after = step
    reads: list[object] = []
    for _ in range(2):
        reads += [states.load(users), states.due(until_ms, limit), states.outbox(limit, after)]
        reads += [states.position(user) for user in users]
    return reads


@pytest.mark.parametrize("cached_users_max", [0, 2, 20_000])
@given(steps=STEPS)
@settings(max_examples=150, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_memory_and_redis_agree(clean_redis: str, cached_users_max: int, steps: list[Step]) -> None:
    stored = RedisStates(connect(clean_redis), "shop", cached_users_max=cached_users_max)
    stored.drop()
    model = MemoryStates()
    for step in steps:
        note(f"step: {step!r}")
        assert _answers(stored, step) == _answers(model, step)
    fresh = RedisStates(connect(clean_redis), "shop")
    names = ["", "a", "b", "ab", "ä", "\U0001f600", "{x}", "c\x00"]
    assert fresh.load(names) == model.load(names), "what the cache said is what the server has"
