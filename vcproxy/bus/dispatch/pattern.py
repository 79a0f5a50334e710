"""Pattern: the commands that an entry of a dispatcher receives, with the parts it captures.

    EVENT<number>            EVENT5: number is "5"
    <name>_IS_<state>        DOOR_IS_OPEN: name is "DOOR", state is "OPEN"
    MOVE_<x:number>_<y:number>

`<number>` and `<NAME:number>` are decimal digits; `<NAME>` is one or more of A-Z, 0-9 and _, as few
as possible. Everything else is literal. The command of a message is matched as a whole.
"""

from __future__ import annotations

import re
from typing import Final

NUMBER: Final = "number"

_PIECES: Final = re.compile(r"<(?P<name>[a-z_][a-z0-9_]*)(?::(?P<kind>[a-z]+))?>|(?P<text>[^<>]+)")
_LITERAL: Final = re.compile(r"[A-Z0-9_]+")
_COMMAND: Final = re.compile(r"[A-Z_][A-Z0-9_]*")


class InvalidPattern(ValueError):
    """Not a pattern. The text says what is wrong, and how patterns are written."""


class Pattern:
    """A pattern, compiled. Two patterns are equal if their texts are."""

    __slots__ = ("_expression", "names", "text")

    def __init__(self, text: str) -> None:
        """Raise InvalidPattern."""
        self.text = text
        self.names, expression = _compiled(text)
        """The names of the captured parts, in order; empty: the pattern is one command."""
        self._expression = expression

    def __repr__(self) -> str:
        return f"Pattern({self.text!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pattern) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)

    def match(self, command: str) -> dict[str, str] | None:
        """Return what it captures of a command, by name; None: it does not match."""
        if self._expression is None:
            return {} if command == self.text else None
        found = self._expression.fullmatch(command)
        return None if found is None else found.groupdict()


def _compiled(text: str) -> tuple[tuple[str, ...], re.Pattern[str] | None]:
    """Return the names of the captured parts and the expression; None: the text is a command."""
    if _COMMAND.fullmatch(text):
        return (), None
    names: list[str] = []
    expression, place = "", 0
    for piece in _PIECES.finditer(text):
        if piece.start() != place:
            break
        place = piece.end()
        literal, name, kind = piece["text"], piece["name"], piece["kind"]
        if literal is not None:
            if not _LITERAL.fullmatch(literal):
                raise _invalid(text, f'"{literal}" is not of A-Z, 0-9 and _')
            expression += literal
            continue
        if name in names:
            raise _invalid(text, f"<{name}> is there twice")
        if kind not in (None, NUMBER):
            raise _invalid(text, f'<{name}:{kind}>: "number" is the only kind')
        names.append(name)
        part = "[0-9]+" if NUMBER in (name, kind) else "[A-Z0-9_]+?"
        expression += f"(?P<{name}>{part})"
    if not text:
        raise _invalid(text, "it is empty")
    if place != len(text):
        raise _invalid(text, f'"{text[place:]}" is not complete')
    if text[0].isdigit():
        raise _invalid(text, "commands do not begin with a digit")
    return tuple(names), re.compile(expression)


def _invalid(text: str, why: str) -> InvalidPattern:
    return InvalidPattern(
        f'"{text}" is not a pattern of commands: {why}: write a command as STOP, or one with '
        "captured parts as EVENT<number>, <name>_IS_ON, MOVE_<x:number>"
    )
