"""The TOML document of a configuration file: its text, its tree, and the position of each key.

Tested in tests/config/test_syntax.py and test_problems.py.
"""

import json
import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from vcproxy.config.errors import ConfigError, KeyProblem, Problem
from vcproxy.config.positions import KeyPath, line_and_column, positions

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Document:
    """A file that is valid TOML."""

    file: Path
    text: str
    tree: dict[str, object]
    content: bytes = b""
    """The file as it was read; b"" for a text that comes from elsewhere."""

    @property
    def directory(self) -> Path:
        """The directory for relative paths in the file."""
        return self.file.absolute().parent

    def error(self, problems: Iterable[KeyProblem]) -> ConfigError:
        """Return a ConfigError with these problems, each with its position in the text."""
        return ConfigError(*self.located(problems))

    def located(self, problems: Iterable[KeyProblem]) -> tuple[Problem, ...]:
        """Return these problems with their positions in the text, in the order of the file."""
        found = list(problems)
        where = positions(self.text) if found else {}
        return tuple(sorted(self._located(each, where) for each in found))

    def _located(self, problem: KeyProblem, where: dict[KeyPath, int]) -> Problem:
        path: KeyPath = ()
        for part in problem.path:
            if not isinstance(part, int) or (*path, part) in where or path not in where:
                path = (*path, part)
            # else: the only item of a list, written without its brackets
        known = path
        while known and known not in where:
            known = known[:-1]
        line, column = line_and_column(self.text, where.get(known, 0))
        return Problem(self.file, line, column, self._dotted(path), problem.message)

    def _dotted(self, path: KeyPath) -> str:
        """Return a path as text with dots, with the name of a listener instead of its index."""
        parts = [str(part) for part in path]
        match path, self.tree:
            case ("listener", int(index), *_), {"listener": [*listeners]}:
                match listeners[index]:
                    case {"name": str(name)} if name:
                        parts[1] = name
        return ".".join(part if _BARE_KEY.fullmatch(part) else json.dumps(part) for part in parts)


def read_document(file: Path) -> Document:
    """Read a file. Raises ConfigError if the file is not readable, not UTF-8 or not TOML."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise ConfigError(Problem(file, 0, 0, "", f"cannot read it: {error.strerror}")) from None
    try:
        text = content.decode("utf-8-sig")  # skip a byte order mark, which some editors write
    except UnicodeDecodeError as error:
        before = error.object[: error.start].decode()  # positions do not count the mark
        place = line_and_column(before, len(before))
        message = "this is not UTF-8: save the file as UTF-8"
        raise ConfigError(Problem(file, *place, "", message)) from None
    return replace(parse_document(file, text), content=content)


def parse_document(file: Path, text: str) -> Document:
    """Parse the text of a file. Raises ConfigError if it is not TOML."""
    try:
        return Document(file, text, tomllib.loads(text))
    except (ValueError, RecursionError) as error:
        from vcproxy.config.syntax import explain_syntax_error

        place, what = explain_syntax_error(text, error)
        raise ConfigError(Problem(file, *place, "", f"this is not TOML: {what}")) from None
