"""An OrderKey's packed bytes sort as the tuple does."""

from hypothesis import given
from hypothesis import strategies as st

from schemas.order_keys import OrderKey

TEXT = st.text(alphabet=st.sampled_from("\x00\x01a\u00ffé漢😀"), max_size=4)
KEYS = st.builds(
    OrderKey,
    time_ms=st.integers(-(2**62), 2**62),
    kind=st.integers(0, 2),
    event_id=TEXT,
    subject=TEXT,
    turn=st.integers(0, 1),
    campaign=TEXT,
    opening=TEXT,
    step=st.integers(0, 2**32 - 1),
    n=st.integers(0, 2**63),
)


@given(KEYS, KEYS)
def test_packed_keys_sort_as_the_tuples_do(one: OrderKey, other: OrderKey) -> None:
    assert (one < other) == (one.packed() < other.packed())
    assert (one == other) == (one.packed() == other.packed())


@given(TEXT, TEXT)
def test_code_point_order_is_utf8_byte_order(one: str, other: str) -> None:
    assert (one < other) == (one.encode() < other.encode())
