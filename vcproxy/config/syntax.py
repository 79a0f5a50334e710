"""Explain syntax errors of TOML, with their position. Imported only if there is one."""

import ast
import re
import tomllib

from vcproxy.config.positions import KeyPath, line_and_column, positions

_AT = re.compile(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", re.DOTALL)
_REFUSED = re.compile(r"Cannot (?:declare (.*) twice|mutate immutable namespace (.*))", re.DOTALL)
_WRITTEN = re.compile(r"""(?:[\w-]+|"[^"\n]*"|'[^'\n]*')[ \t]*(\.|=[ \t]*[\[{])""", re.ASCII)
"""A key followed by a dot, a list or an inline table: a value that is not below a [header]."""


def explain_syntax_error(text: str, error: Exception) -> tuple[tuple[int, int], str]:
    """Return the line and column of an error of `tomllib`, and its explanation."""
    what, place = str(error), line_and_column(text, len(text.rstrip()))
    if match := _AT.fullmatch(what):
        what = match[1]
        place = (int(match[2]), int(match[3])) if match[2] else place
    if match := _REFUSED.fullmatch(what):
        what = _closed_before(text, place[0], ast.literal_eval(match[1] or match[2])) or what
    return place, what


def _closed_before(text: str, line: int, keys: tuple[str, ...]) -> str | None:
    """Return why the value of these keys cannot be extended; None: no explanation was found."""
    before = "\n".join(text.split("\n")[: line - 1])
    try:
        value: object = tomllib.loads(before)
    except tomllib.TOMLDecodeError:  # the failing statement began on an earlier line
        return None
    path: KeyPath = ()
    named: list[str] = []
    for key in keys:
        table, within = value, path
        if isinstance(value, list) and value:  # the last table of an array of tables
            table, within = value[-1], (*path, len(value) - 1)
        if not isinstance(table, dict) or key not in table:
            break
        value, path = table[key], (*within, key)
        named.append(key)
    at = positions(before).get(path, 0)
    written = _WRITTEN.match(before, at)
    if not named or written is None:
        return None
    name, line = ".".join(named), line_and_column(before, at)[0]
    if written[1] == ".":
        return (
            f"the keys of {name} are written with dots from line {line} on: write all of them "
            f"with dots, or all of them below [{name}]"
        )
    if isinstance(value, list):
        return (
            f"{name} is a list in brackets on line {line}, to which nothing can be added: remove "
            f"it there, and write each of its items below [[{name}]]"
        )
    return (
        f"{name} is an inline table on line {line}, to which nothing can be added: remove it "
        f"there, and write its keys below [{name}]"
    )
