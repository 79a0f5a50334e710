"""The TOML document of a configuration file: its text, its tree, and the position of each key.

Tested in tests/config/test_syntax.py and test_problems.py.
"""

import json
import os
import re
import tomllib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING

from vcproxy.config.errors import ConfigError, KeyProblem, Problem
from vcproxy.config.positions import KeyPath, line_and_column, positions
from vcproxy.input_files import MOST, read_file

if TYPE_CHECKING:
    from vcproxy.config.variables import FromFiles, Variables

WRITER_WITHIN = 1.0
"""Seconds in which the writer of a FIFO must open it: one that opens it at the same time has not
begun yet."""

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Document:
    """A file that is valid TOML."""

    file: Path
    text: str
    tree: dict[str, object]
    """Its values, with the variables in their texts replaced."""
    content: bytes = b""
    """The file as it was read; b"" for a text that comes from elsewhere."""
    variables: "Variables | None" = None
    """Its variables; None: it has none."""

    @property
    def directory(self) -> Path:
        """The directory for relative paths in the file."""
        return self.file.absolute().parent

    @property
    def variable_problems(self) -> list[KeyProblem]:
        """What is wrong with its variables."""
        return [] if self.variables is None else self.variables.problems

    @property
    def variable_paths(self) -> Collection[KeyPath]:
        """Where texts with variables are."""
        return () if self.variables is None else self.variables.paths

    @property
    def named_by(self) -> Sequence[tuple[KeyPath, Path]]:
        """The keys whose variables name files, and these."""
        return () if self.variables is None else self.variables.named

    @property
    def from_files(self) -> "Mapping[KeyPath, FromFiles]":
        """The texts with contents of files in them, which are shown nowhere."""
        return {} if self.variables is None else self.variables.from_files

    @property
    def named_files(self) -> dict[Path, bytes]:
        """The content of the files that its variables name, by the absolute path."""
        return {} if self.variables is None else self.variables.files

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
        message = self._hidden(problem.message)
        return Problem(self.file, line, column, self._dotted(path), message)

    def _hidden(self, message: str) -> str:
        """Return a message without what comes from files."""
        for each in self.from_files.values():
            message = each.hide_in_message(message)
        return message

    def _dotted(self, path: KeyPath) -> str:
        """Return a path as text with dots, with the name of a listener instead of its index."""
        parts = [str(part) for part in path]
        match path, self.tree:
            case ("listener", int(index), *_), {"listener": [*listeners]}:
                match listeners[index]:
                    case {"name": str(name)} if name:
                        parts[1] = name
        return ".".join(part if _BARE_KEY.fullmatch(part) else json.dumps(part) for part in parts)


def read_document(file: Path, text_of: Path | None = None) -> Document:
    """Read a file, or another one as if it stood in its place. Raises ConfigError if it is not
    readable, not UTF-8 or not TOML."""
    try:
        content = _content(text_of or file)
    except OSError as error:
        raise ConfigError(Problem(file, 0, 0, "", f"cannot read it: {error.strerror}")) from None
    try:
        text = content.decode("utf-8-sig")  # skip a byte order mark, which some editors write
    except UnicodeDecodeError as error:
        before = error.object[: error.start].decode()  # positions do not count the mark
        place = line_and_column(before, len(before))
        message = "this is not UTF-8: save the file as UTF-8"
        raise ConfigError(Problem(file, *place, "", message)) from None
    document = replace(parse_document(file, text), content=content)
    return _with_variables(document) if "${" in text else document


def _content(file: Path) -> bytes:
    """Return the content of a file, or of the pipe of a shell's `-c <(command)`. Raises OSError.

    A pipe without a writer, as in a reload, is an error: to wait for one would stop the proxy.
    """
    if not file.is_fifo():
        return read_file(file)
    fd = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(fd, "rb", buffering=0) as pipe:
        end = monotonic() + WRITER_WITHIN
        while (begin := pipe.read(MOST)) == b"" and monotonic() < end:
            sleep(0.01)
        if begin == b"":
            raise OSError(0, "it is a FIFO, and nothing is written to it")
        os.set_blocking(fd, True)
        return (begin or b"") + pipe.readall()  # None: there is a writer, which has not written yet


def parse_document(file: Path, text: str) -> Document:
    """Parse the text of a file, as it is: variables are left. Raises ConfigError if it is not
    TOML."""
    try:
        return Document(file, text, tomllib.loads(text))
    except (ValueError, RecursionError) as error:
        from vcproxy.config.syntax import explain_syntax_error

        place, what = explain_syntax_error(text, error)
        raise ConfigError(Problem(file, *place, "", f"this is not TOML: {what}")) from None


def _with_variables(document: Document) -> Document:
    """Return a document with its variables replaced. What is wrong with them is not raised."""
    from vcproxy.config.variables import Variables

    variables = Variables(document.directory, os.environ)
    tree = {key: variables.expand(each, (key,)) for key, each in document.tree.items()}
    return replace(document, tree=tree, variables=variables)
