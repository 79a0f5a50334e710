"""The cookies of a request, in its field Cookie (RFC 6265, 5.4).

Tested in tests/http/message/test_cookies.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vcproxy.http.message.fields import Fields


def cookie(fields: Fields, name: str) -> str | None:
    """Return the value of the first cookie of a name; None: there is none."""
    for each in ";".join(fields.get_all("Cookie")).split(";"):
        found, equals, value = each.partition("=")
        if equals and found.strip(" \t") == name:
            return value.strip(" \t")
    return None


def remove_cookie(fields: Fields, name: str) -> None:
    """Remove all cookies of a name, so that a server does not get them."""
    pairs = ";".join(fields.get_all("Cookie")).split(";")
    kept = [each for each in pairs if each.partition("=")[0].strip(" \t") != name]
    if len(kept) < len(pairs):
        rest = ";".join(kept).strip(" \t")
        if rest:
            fields["Cookie"] = rest
        else:
            del fields["Cookie"]
