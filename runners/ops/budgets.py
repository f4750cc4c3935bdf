"""What an operator sees of the ledger's accounts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from runners.ledgers import RedisLedgerAddress
from runners.tenants import the_tenant
from schemas.errors import UsageError
from schemas.grants import rfc3339
from schemas.redis_connection import connect


def account_rows(url: str, tenant: str | None, names: Sequence[str], slices: bool) -> list[dict[str, Any]]:
    """A row an account (and, if asked, a slice of time): use and caps, amounts in minor units of the row's unit.

    Raises:
      UsageError: an account that is not there.
    """
    ledger = RedisLedgerAddress(url)(the_tenant(connect(url), tenant))
    accounts = {account.name: account for account in ledger.snapshot()}
    unknown = [name for name in names if name not in accounts]
    if unknown:
        raise UsageError(f"no account {unknown[0]!r}; there is {', '.join(accounts) or 'none'}")
    rows = []
    for name in names or accounts:
        account = accounts[name]
        for use in account.uses if slices else account.uses[:1]:
            place = "" if use.period == "total" else f" {use.period} {rfc3339(use.start_ms)}"
            rows.append(
                {
                    "account": f"{name}{place}",
                    "unit": account.unit,
                    "grants": use.grants,
                    "amount": use.amount,
                    "cap_grants": use.grants_cap,
                    "cap_amount": use.amount_cap,
                    "closed": use.closed,
                }
            )
    return rows
