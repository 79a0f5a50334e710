"""Entity tags: how they are made weak, and compared (RFC 9110, 8.8.3 and 13.1.2)."""

from __future__ import annotations

import re

WEAK = "W/"
"""The mark of a weak tag: equal tags stand for equivalent bodies, not for equal bytes."""

_tags = re.compile(r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"').findall


def weak_tag(tag: str) -> str:
    """Return the weak form of a tag; "" if it is not a tag at all."""
    found = _tags(tag)
    if len(found) != 1 or found[0] != tag:
        return ""
    return tag if tag.startswith(WEAK) else WEAK + tag


def tags(value: str) -> list[str]:
    """Return the tags in the value of an If-None-Match or If-Match. Those of "*": none."""
    return _tags(value)
