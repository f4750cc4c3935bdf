"""Which tenants a server knows, so that a command need not ask where there is only one."""

from __future__ import annotations

from typing import cast

import redis

from schemas.errors import UsageError

_KEY = "incentives:tenants"


def note_tenant(client: redis.Redis, tenant: str) -> None:
    """Remember a tenant that has campaigns here."""
    client.sadd(_KEY, tenant)


def the_tenant(client: redis.Redis, named: str | None) -> str:
    """The tenant that was named, or the only one there is.

    Raises:
      UsageError: there is none, or there are several and none was named, or the named one is unknown.
    """
    known = tenants(client, None)
    if named is None and len(known) > 1:
        raise UsageError(f"the server has several tenants: name one with --tenant ({', '.join(known)})")
    return tenants(client, named)[0]


def tenants(client: redis.Redis, named: str | None) -> list[str]:
    """All tenants of the server, or the one that was named.

    Raises:
      UsageError: there is none, or the named one is unknown.
    """
    known = sorted(tenant.decode() for tenant in cast("set[bytes]", client.smembers(_KEY)))
    if not known:
        raise UsageError("no campaigns are published on this server: run `incentives campaign apply` first")
    if named is not None and named not in known:
        raise UsageError(f"no tenant {named!r} on this server; there is {', '.join(known)}")
    return known if named is None else [named]
