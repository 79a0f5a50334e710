"""The page docs/reference/access-log.md: the fields of records, the letters of their ends."""

from __future__ import annotations

import ast
import enum
import inspect

from vcproxy.access_log.ending import By, Phase
from vcproxy.access_log.fields import FIELDS, KINDS
from vcproxy.access_log.pattern import LINES

PAGE = """\
# Fields of the access log

<!-- Written by `make docs` from vcproxy/access_log. -->

What it is for, and how to turn it on: [the access log](../how-to/access-log.md).

| field | kinds | value | meaning |
|---|---|---|---|
{fields}
In JSON a record has the fields of its kind, in this order; `extra` only if there are any. What does
not apply, or was not reached, is `null`, and `-` in other formats. Texts in templates have `"` and
`\\` with a `\\` before them, and control characters as `\\x0a`. Times are in milliseconds.

## The format "line"

```text
{lines}
```

## How it ended

`end` has two letters: what has ended it, and in which phase. `--` is an orderly end.

| 1st | what has ended it |
|---|---|
{by}
| 2nd | in which phase |
|---|---|
{phase}"""

VALUES = {
    "text": "text",
    "integer": "whole number",
    "milliseconds": "milliseconds",
    "texts": "list of texts; in text with commas",
    "counts": "number for each name; in text `a=1,b=2`",
    "mapping": "any value for each name",
}


def page() -> str:
    """Return the page."""
    fields = "".join(
        f"| `{field.name}` | {_kinds(field.kinds)} | {VALUES[field.type]} | {field.text} |\n"
        for field in FIELDS
    )
    lines = "\n".join(LINES[kind] for kind in ("tcp", "http"))
    return PAGE.format(fields=fields, lines=lines, by=_letters(By), phase=_letters(Phase))


def _kinds(kinds: frozenset[str]) -> str:
    return "all" if kinds == frozenset(KINDS) else ", ".join(sorted(kinds))


def _letters(letters: type[enum.Enum]) -> str:
    """Return a row for each member, with the docstring below it."""
    (node,) = ast.parse(inspect.getsource(letters)).body
    assert isinstance(node, ast.ClassDef)
    rows = []
    for member, text in zip(node.body, node.body[1:], strict=False):
        match member, text:
            case (
                ast.Assign(value=ast.Constant(value=str(letter))),
                ast.Expr(value=ast.Constant(value=str(words))),
            ):
                rows.append(f"| `{letter}` | {' '.join(words.split())} |\n")
    return "".join(rows)
