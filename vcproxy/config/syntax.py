"""Say in plain words why a text is not TOML, and where. Imported only once something is wrong."""

import ast
import re
import tomllib

from vcproxy.config.place import KeyPath, line_and_column, places

_AT = re.compile(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", re.DOTALL)
_REFUSED = re.compile(r"Cannot (?:declare (.*) twice|mutate immutable namespace (.*))", re.DOTALL)
_WRITTEN = re.compile(r"""(?:[\w-]+|"[^"\n]*"|'[^'\n]*')[ \t]*(\.|=[ \t]*[\[{])""", re.ASCII)
"""A key, and what shows that its value was not begun by a header."""


def why_not(text: str, error: Exception) -> tuple[tuple[int, int], str]:
    """Return the place, line and column, of what `tomllib` found wrong with a text, and what."""
    what, place = str(error), line_and_column(text, len(text.rstrip()))
    if match := _AT.fullmatch(what):
        what = match[1]
        place = (int(match[2]), int(match[3])) if match[2] else place
    if match := _REFUSED.fullmatch(what):
        what = _begun_before(text, place[0], ast.literal_eval(match[1] or match[2])) or what
    return place, what


def _begun_before(text: str, line: int, keys: tuple[str, ...]) -> str | None:
    """Say that the value of these keys cannot be added to on a line, for how it was written."""
    before = "\n".join(text.split("\n")[: line - 1])
    try:
        value: object = tomllib.loads(before)
    except tomllib.TOMLDecodeError:  # the statement began on an earlier line
        return None
    path: KeyPath = ()
    named: list[str] = []
    for key in keys:
        table, within = value, path
        if isinstance(value, list) and value:  # the table that an array of tables has reached
            table, within = value[-1], (*path, len(value) - 1)
        if not isinstance(table, dict) or key not in table:
            break
        value, path = table[key], (*within, key)
        named.append(key)
    at = places(before).get(path, 0)
    written = _WRITTEN.match(before, at)
    if not named or written is None:
        return None
    name, line = ".".join(named), line_and_column(before, at)[0]
    if written[1] == ".":
        return (
            f"{name} has its keys with dots, from line {line} on: write all of them so, or all of "
            f"them below [{name}]"
        )
    if isinstance(value, list):
        return (
            f"{name} is a list in brackets on line {line}, and nothing can be added to one: remove "
            f"it there, and write each of its items below [[{name}]]"
        )
    return (
        f"{name} is an inline table on line {line}, and nothing can be added to one: remove it "
        f"there, and write its keys below [{name}]"
    )
