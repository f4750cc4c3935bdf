"""Names of the ledger's keys: `{<tenant>}:<kind>:<name>`. The braces are the hash tag: one root, one slot, one atom.

The control key and a fence are declared to every script; the scripts build the others from the former with their one
function `key`.
"""

from __future__ import annotations


def key(tenant: str, kind: str, name: str = "") -> str:
    """A key of a tenant's ledger. Ids of users and events are data and never part of a name."""
    return f"{{{tenant}}}:{kind}:{name}" if name else f"{{{tenant}}}:{kind}"


def control(tenant: str) -> str:
    """The root's control hash: log sequence and greatest OrderKey."""
    return key(tenant, "ledger")


def declared(tenant: str) -> list[str]:
    """The keys a script is called with: the control key, and one that never exists.

    The second is for clusters: while a slot is moved key by key, a call that names a missing key beside another gets
    TRYAGAIN from both nodes. With the control key alone the script would run on the half of the root that is there:
    it would find no account, or no record of an id, or fail between two writes.
    """
    return [control(tenant), key(tenant, "fence")]
