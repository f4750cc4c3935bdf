"""Names of the ledger's keys: `{<tenant>}:<kind>:<name>`. The braces are the hash tag: one root, one slot, one atom.

The control key is declared to every script; the scripts build the others from it with their one function `key`.
"""

from __future__ import annotations


def key(tenant: str, kind: str, name: str = "") -> str:
    """A key of a tenant's ledger. Ids of users and events are data and never part of a name."""
    return f"{{{tenant}}}:{kind}:{name}" if name else f"{{{tenant}}}:{kind}"


def control(tenant: str) -> str:
    """The root's control hash: log sequence and greatest OrderKey."""
    return key(tenant, "ledger")
