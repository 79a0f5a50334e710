"""Literal: bytes as a Python expression, folded to lines, with repetitions as products.

Tested in tests/replay/log/test_to_test.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

WIDTH = 72
"""Characters in a line of a literal: with its indentation it stays below 100."""

SEARCHED = 1 << 20
"""Bytes that are searched for repetitions: the search tries 64 lengths at each byte."""

_REPEATED = re.compile(rb"(.{1,64}?)\1{15,}", re.DOTALL)


def literal(data: bytes) -> str:
    """Return an expression with this value, in parentheses if it is longer than one line."""
    pieces = list(_pieces(data))
    parts = [quoted(piece) + (f" * {times}" if times > 1 else "") for piece, times in pieces]
    if len(line := " + ".join(parts)) <= WIDTH:
        return line
    parts = [
        part if times > 1 else "\n    ".join(_folded(piece))
        for part, (piece, times) in zip(parts, pieces, strict=True)
    ]
    whole = "\n    + ".join(parts)
    return f"(\n    {whole}\n)" if "\n" in whole else whole


def quoted(value: object) -> str:
    """Return the repr of a value, with double quotes where possible."""
    shown = repr(value)
    if isinstance(value, bytes | str) and '"' not in shown and "\\'" not in shown:
        return shown.replace("'", '"')
    return shown


def _pieces(data: bytes) -> Iterator[tuple[bytes, int]]:
    """Yield parts of the data, each with its number of repetitions."""
    at = 0
    for match in _REPEATED.finditer(data, 0, SEARCHED):
        unit = match[1]
        times = len(match[0]) // len(unit)
        if len(match[0]) <= WIDTH:
            continue
        if at < match.start():
            yield data[at : match.start()], 1
        yield unit, times
        at = match.end()
    if at < len(data) or not data:
        yield data[at:], 1


def _folded(data: bytes) -> Iterator[str]:
    """Yield literals of one line each, which end where lines of the data end."""
    for line in data.splitlines(keepends=True):
        at = 0
        while at < len(line):
            chunk = line[at : at + WIDTH]
            while len(shown := quoted(chunk)) > WIDTH:
                chunk = chunk[: len(chunk) * WIDTH // len(shown)]
            yield shown
            at += len(chunk)
