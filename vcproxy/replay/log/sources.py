"""Sources: redacts the configuration and the plugins of a log.

The result must still load, because a replay uses it. So only strings and comments are redacted,
not the syntax around them. Tested in tests/replay/log/test_redact.py.
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
from vcproxy.config.plugin_loader import CONTENT
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


def redacted_sources(
    file: Path, text: str, sources: Sources, patterns: Patterns
) -> tuple[str, Sources]:
    """Return a configuration and its plugins, redacted in their strings and comments.

    Raises LogError if they do not load any more.
    """
    found = (
        _configuration(text, patterns),
        {place: _source(place, source, patterns) for place, source in sources.items()},
    )
    if found != (text, dict(sources)) and _loads(file, text, sources) is None:
        why = _loads(file, *found)
        if why is not None:
            raise LogError(
                f"{file}: the configuration or a plugin does not load after redaction: "
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
    """Return the configuration, redacted. If there is a match, comments are removed."""
    if not any(pattern.search(text.encode()) for pattern in patterns):
        return text
    import tomli_w

    try:
        tree = tomllib.loads(text)
    except ValueError:  # not TOML: the proxy could not load this text before either
        return str(redacted_value(patterns, text))
    return tomli_w.dumps({key: _values(value, patterns) for key, value in tree.items()})


def _values(value: object, patterns: Patterns) -> object:
    """Redact the strings in a value, but not the keys: the schema needs their names."""
    if isinstance(value, dict):
        return {key: _values(each, patterns) for key, each in value.items()}
    if isinstance(value, list):
        return [_values(each, patterns) for each in value]
    return redacted_value(patterns, value) if isinstance(value, str) else value


def _source(place: str, source: bytes, patterns: Patterns) -> bytes:
    if place.startswith(CONTENT):
        return redacted(patterns, source)
    return _python(source, patterns)


def _python(source: bytes, patterns: Patterns) -> bytes:
    """Return the program, redacted in its strings and comments."""
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
    """Yield the begin and end, (row from 0, column), and the text of each string and comment."""
    for token in tokenize.tokenize(io.BytesIO(source).readline):
        if token.type in _STRINGS:
            (row, begin), (last, end) = token.start, token.end
            yield (row - 1, begin), (last - 1, end), token.string
