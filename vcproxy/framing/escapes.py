"""Escapes: bytes that stand for others in stuffed framings.

Tested in tests/framing/test_kinds.py.
"""

from __future__ import annotations

from collections.abc import Mapping


def unescape(data: bytes, escape: bytes, values: Mapping[int, bytes]) -> bytes | None:
    """Return the data with each escape replaced: the escape byte and the byte after it.

    None: an escape is not among `values`, or its second byte is missing.
    """
    first, *others = data.split(escape)
    if not others:
        return first
    parts = [first]
    try:
        for other in others:
            parts += values[other[0]], other[1:]
    except (IndexError, KeyError):
        return None
    return b"".join(parts)
