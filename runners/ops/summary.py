"""A backtest in numbers: what it returns, writes as summary.json and shows as a table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

Say = Callable[[dict[str, int]], None]
"""Told how much is done so far: "read" and "advanced" count events, "settled" proposals."""


class CampaignSummary(msgspec.Struct, kw_only=True):
    """One campaign's row of a backtest. Amounts in minor units of unit.

    Attributes:
      cap_grants, cap_amount: in total, None = not capped; used_grants, used_amount: what counts against them at the
        end, in the cap's unit: less what was given back, and what was charged where a grant has a stated cost.
    """

    matched: int
    granted: int
    amount: int
    unit: str
    cut: int
    denied: dict[str, int]
    cap_grants: int | None
    cap_amount: int | None
    used_grants: int
    used_amount: int
    taken_back: int
    exhausted_at: str | None
    first_at: str | None
    last_at: str | None


class Summary(msgspec.Struct, kw_only=True):
    """A backtest in numbers: what summary.json holds."""

    tenant: str
    events: dict[str, int]
    campaigns: dict[str, CampaignSummary]
    accounts: list[dict[str, Any]]
    files: list[str]
