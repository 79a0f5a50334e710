"""Representation: fields that describe a body's bytes, to be removed if a filter changes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vcproxy.http.message.fields import Fields

DIGESTS = ("ETag", "Content-MD5", "Digest", "Content-Digest", "Repr-Digest")
"""Fields that are computed from a body's bytes (RFC 9110 8.8.3, RFC 9530; Digest: RFC 3230;
Content-MD5: RFC 1864)."""


class Representation:
    """The values of the fields DIGESTS in a head as it was received."""

    __slots__ = ("_received", "body")

    def __init__(self, fields: Fields) -> None:
        self._received = [(name, fields.get_all(name)) for name in DIGESTS if name in fields]
        self.body = b""
        """The body as it arrived, if a filter needs all of it."""

    def withdraw(self, fields: Fields) -> None:
        """Remove the fields that describe the received body, because a filter has changed it or may
        change it. A value set by a filter is kept."""
        for name, values in self._received:
            if fields.get_all(name) == values:
                del fields[name]


def without_digests(trailers: Fields) -> Fields:
    """Remove the digests of a changed body from trailers; return the trailers."""
    for name in DIGESTS:
        if name in trailers:
            del trailers[name]
    return trailers
