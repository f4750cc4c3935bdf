"""Builders for bundles of user state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from transforms.state.ports import BundleWrite, Outgoing


def a_write(
    *,
    cells: Mapping[str, bytes | None] | None = None,
    due: Mapping[str, int | None] | None = None,
    outgoing: Sequence[tuple[bytes, bytes]] = (),
    positions: Mapping[str, bytes] | None = None,
) -> BundleWrite:
    """A bundle that changes only what is named."""
    entries = [Outgoing(order_key, proposal) for order_key, proposal in outgoing]
    return BundleWrite(cells or {}, due or {}, entries, positions or {})
