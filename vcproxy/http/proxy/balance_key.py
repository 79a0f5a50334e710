"""Cookies, as far as a proxy looks at them (RFC 6265)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vcproxy.http.message.fields import Fields


def cookie(fields: Fields, name: str) -> str | None:
    """Return the value of the first cookie of this name that a request has (RFC 6265, 5.4)."""
    for pair in fields.get("Cookie", "").split(";"):
        key, equals, value = pair.partition("=")
        if equals and key.strip() == name:
            return value.strip()
    return None
