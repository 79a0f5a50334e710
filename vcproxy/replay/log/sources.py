"""Sources: the configuration and the plugins of a log, without what must not be in them.

They are needed to look at a log and to replay it. So only what stands in strings and in comments is
redacted, and not what makes a table or a program of them.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from vcproxy.config.errors import ConfigError
from vcproxy.config.loader import Recorded, load
from vcproxy.replay.format.reader import LogError
from vcproxy.replay.format.redaction import redacted, redacted_value

Patterns: TypeAlias = Sequence[re.Pattern[bytes]]
Sources: TypeAlias = Mapping[str, bytes]

_STRINGS = {tokenize.STRING, tokenize.COMMENT} | {
    getattr(tokenize, name)
    for name in ("FSTRING_MIDDLE", "TSTRING_MIDDLE")
    if hasattr(tokenize, name)
}
_QUOTED = re.compile(r"(?s)([A-Za-z]*)('''|\"\"\"|'|\")(.*)(\2)")


def safe(file: Path, text: str, sources: Sources, patterns: Patterns) -> tuple[str, Sources]:
    """A configuration and its plugins with x for what matches in their strings and comments.

    Raises LogError where they do not load any more.
    """
    found = (
        _configuration(text, patterns),
        {place: _python(source, patterns) for place, source in sources.items()},
    )
    if found != (text, dict(sources)) and _loads(file, text, sources) is None:
        why = _loads(file, *found)
        if why is not None:
            raise LogError(
                f"{file}: its configuration or a plugin does not load with x for what matches: "
                f"{why}\nUse patterns that match less"
            )
    return found


def _loads(file: Path, text: str, sources: Sources) -> ConfigError | None:
    try:
        load(file, Recorded(text, sources))
    except ConfigError as error:
        return error
    return None


def _configuration(text: str, patterns: Patterns) -> str:
    """The same configuration; where something matches, written anew, without its comments."""
    if not any(pattern.search(text.encode()) for pattern in patterns):
        return text
    import tomli_w

    try:
        tree = tomllib.loads(text)
    except ValueError:  # it never loaded: nobody needs it
        return str(redacted_value(patterns, text))
    return tomli_w.dumps({key: _values(value, patterns) for key, value in tree.items()})


def _values(value: object, patterns: Patterns) -> object:
    """The strings in a value, but for the keys: these are words of the schema, and names."""
    if isinstance(value, dict):
        return {key: _values(each, patterns) for key, each in value.items()}
    if isinstance(value, list):
        return [_values(each, patterns) for each in value]
    return redacted_value(patterns, value) if isinstance(value, str) else value


def _python(source: bytes, patterns: Patterns) -> bytes:
    """The same program, with x in its strings and comments."""
    if not any(pattern.search(source) for pattern in patterns):
        return source
    try:
        ast.parse(source)
        lines = source.decode().splitlines(keepends=True)
        for (row, begin), (last, end), text in reversed(list(_strings(source))):
            between = "".join(
                [lines[row][begin:], *lines[row + 1 : last], lines[last][:end]]
                if last > row
                else [lines[row][begin:end]]
            )
            assert between == text
            match = _QUOTED.fullmatch(text)
            prefix, inner, suffix = (
                ("", text, "") if match is None else (match[1] + match[2], match[3], match[4])
            )
            new = prefix + str(redacted_value(patterns, inner)) + suffix
            lines[row : last + 1] = [lines[row][:begin] + new + lines[last][end:]]
    except (SyntaxError, ValueError, AssertionError, tokenize.TokenError):
        return bytes(redacted(patterns, source))
    return "".join(lines).encode()


def _strings(source: bytes) -> Iterator[tuple[tuple[int, int], tuple[int, int], str]]:
    """Yield where each string and comment begins and ends: its row, from 0, and its column."""
    for token in tokenize.tokenize(io.BytesIO(source).readline):
        if token.type in _STRINGS:
            (row, begin), (last, end) = token.start, token.end
            yield (row - 1, begin), (last - 1, end), token.string
