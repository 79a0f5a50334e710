"""Representation: fields that describe the bytes of a body, wrong once a filter changes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vcproxy.http.message.fields import Fields

DESCRIBING = ("ETag", "Content-MD5", "Digest", "Content-Digest", "Repr-Digest")
"""Fields that are made of a body's bytes (RFC 9110 8.8.3, RFC 9530, and those before it)."""


class Representation:
    """What a head said of its body when it came."""

    __slots__ = ("_said", "body")

    def __init__(self, fields: Fields) -> None:
        self._said = [(name, fields.get_all(name)) for name in DESCRIBING if name in fields]
        self.body = b""
        """The body as it came, where a filter wants all of it."""

    def withdraw(self, fields: Fields) -> None:
        """The body is, or may be, another one now: remove what was said of the one that came. What
        a filter has said in its place stays."""
        for name, values in self._said:
            if fields.get_all(name) == values:
                del fields[name]


def undescribed(trailers: Fields) -> Fields:
    """Trailers without what they say of a body that has been changed."""
    for name in DESCRIBING:
        if name in trailers:
            del trailers[name]
    return trailers
