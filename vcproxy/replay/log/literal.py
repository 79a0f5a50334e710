"""Literal: bytes as Python writes them, folded to lines, what is repeated said once."""

from __future__ import annotations

import re
from collections.abc import Iterator

WIDTH = 72
"""Of a line of a literal: in a test it stays below 100."""

SEARCHED = 1 << 20
"""Bytes in which repetitions are looked for: each takes a look at 64 lengths of them."""

_REPEATED = re.compile(rb"(.{1,64}?)\1{15,}", re.DOTALL)


def literal(data: bytes) -> str:
    """An expression that makes these bytes; where it is more than one line, in brackets."""
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
    """A value as Python writes it, bytes and text in the quotes that people prefer."""
    shown = repr(value)
    if isinstance(value, bytes | str) and '"' not in shown and "\\'" not in shown:
        return shown.replace("'", '"')
    return shown


def _pieces(data: bytes) -> Iterator[tuple[bytes, int]]:
    """Yield its parts, each with how often it comes there."""
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
    """Yield literals of a line each, which end where lines of the text do."""
    for line in data.splitlines(keepends=True):
        at = 0
        while at < len(line):
            chunk = line[at : at + WIDTH]
            while len(shown := quoted(chunk)) > WIDTH:
                chunk = chunk[: len(chunk) * WIDTH // len(shown)]
            yield shown
            at += len(chunk)
