"""Accept-Encoding: which content coding a client is sent (RFC 9110, 12.5.3)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

IDENTITY = "identity"
"""The body as it is."""

ALIASES = {"x-gzip": "gzip", "x-compress": "compress"}
"""Old names of codings (RFC 9110, 8.4.1)."""

MOST = 32
"""Members of a list that are read: browsers send five, and there are about ten codings."""

_member = re.compile(
    r"[ \t]*([!#$%&'*+.^_`|~0-9A-Za-z-]+)[ \t]*"
    r"(?:;[ \t]*[qQ]=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)[ \t]*)?"
).fullmatch


def preferences(accept: str) -> dict[str, float]:
    """Return the quality, 0 to 1, of each coding that an Accept-Encoding names.

    A member that is malformed is left out, so its coding counts as not named. Of a coding that is
    named twice the first member counts.
    """
    found: dict[str, float] = {}
    for member in accept.split(",", MOST)[:MOST]:
        parsed = _member(member)
        if parsed is not None:
            name = parsed[1].lower()
            found.setdefault(ALIASES.get(name, name), float(parsed[2] or 1))
    return found


@lru_cache(256)  # the clients of a site send few different values
def preferred_coding(accept: str | None, offered: Sequence[str]) -> str:
    """Return the coding of `offered` that a client prefers, or IDENTITY.

    Args:
        accept: the value of its Accept-Encoding; None: it has sent none. Such a client may be sent
            any coding, but those that exist understand none: IDENTITY.
        offered: codings, the best first: that order decides between equal qualities.

    IDENTITY is chosen only if no other coding is acceptable, or if the client names it with a
    higher quality. ("*" stands for the codings that are not named, but nobody who writes
    `gzip;q=0.5, *` asks for an uncompressed body.)
    """
    quality = preferences(accept or "")
    rest = quality.get("*", 0.0)
    best, most = IDENTITY, 0.0
    for coding in offered:
        if (own := quality.get(coding, rest)) > most:
            best, most = coding, own
    return best if most >= quality.get(IDENTITY, 0.0) else IDENTITY
