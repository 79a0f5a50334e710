"""The key by which `balance = "hash"` chooses a server: a field or a cookie of the request."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vcproxy.http.message.fields import Fields


def balance_key(fields: Fields, hash_by: str) -> str | None:
    """Return the value of "header:NAME" or "cookie:NAME" in a request; None: it has none, or
    `hash_by` names something else."""
    kind, _, name = hash_by.partition(":")
    if kind == "header":
        return fields.get(name)
    if kind == "cookie":
        return cookie(fields, name)
    return None


def cookie(fields: Fields, name: str) -> str | None:
    """Return the value of the first cookie of this name in a request (RFC 6265, 5.4)."""
    for pair in fields.get("Cookie", "").split(";"):
        key, equals, value = pair.partition("=")
        if equals and key.strip() == name:
            return value.strip()
    return None
