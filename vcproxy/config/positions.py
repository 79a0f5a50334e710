"""Find the position of each key in the text of a TOML document.

`tomllib` does not report positions. This scanner runs only for a file with problems. It reads only
documents that `tomllib` has accepted, so it does not check the syntax.
"""

import re
import tomllib
from collections.abc import Iterator
from typing import NamedTuple

KeyPath = tuple[str | int, ...]
"""The path of a value: the keys and list indexes from the root of the document."""

_TOKEN = re.compile(
    r'''
    (?P<space>   [ \t\r]+ | \#[^\n]* )
  | (?P<newline> \n )
  | (?P<string>  """ (?:\\[\s\S]|[^\\])*? """ "{0,2}     # two quotes may precede the closing three
               | \'\'\' [\s\S]*? \'\'\' '{0,2}
               | " (?:\\.|[^"\\])* "
               | ' [^']* ' )
  | (?P<mark>    [\[\]{},=.] )
  | (?P<bare>    [^\s\[\]{},=.\#"']+ )
    ''',
    re.VERBOSE,
)


class _Token(NamedTuple):
    kind: str
    text: str
    at: int


def _tokens(text: str) -> Iterator[_Token]:
    for match in _TOKEN.finditer(text):
        if match.lastgroup != "space":
            yield _Token(match.lastgroup or "", match[0], match.start())
    yield _Token("newline", "\n", len(text))


class _Scanner:
    def __init__(self, text: str) -> None:
        self.tokens = list(_tokens(text))
        self.next = 0
        self.positions: dict[KeyPath, int] = {}
        self.latest: dict[KeyPath, int] = {}  # latest index, by array of tables

    def peek(self) -> str:
        return self.tokens[self.next].text

    def take(self) -> _Token:
        self.next += 1
        return self.tokens[self.next - 1]

    def skip_newlines(self) -> None:
        while self.next < len(self.tokens) and self.tokens[self.next].kind == "newline":
            self.next += 1

    def document(self) -> None:
        table: KeyPath = ()
        self.skip_newlines()
        while self.next < len(self.tokens):
            if self.peek() == "[":
                table = self.header()
            else:
                self.pair(table)
            self.skip_newlines()

    def header(self) -> KeyPath:
        brackets = 2 if self.tokens[self.next + 1].text == "[" else 1
        self.next += brackets
        path, at = self.key((), within_arrays=True)
        self.next += brackets
        if brackets == 2:
            self.latest[path] = self.latest.get(path, -1) + 1
            path += (self.latest[path],)
        elif path in self.latest:
            path += (self.latest[path],)
        self.positions[path] = at
        return path

    def key(self, path: KeyPath, within_arrays: bool = False) -> tuple[KeyPath, int]:
        """Read a dotted key inside `path`; return its full path and the offset of its last part."""
        while True:
            token = self.take()
            name = token.text
            if token.kind == "string":
                name = tomllib.loads(f"key = {name}")["key"]
            path += (name,)
            self.positions.setdefault(path, token.at)
            if self.peek() != ".":
                return path, token.at
            self.next += 1
            if within_arrays and path in self.latest:
                path += (self.latest[path],)

    def pair(self, table: KeyPath) -> None:
        path, _ = self.key(table)
        self.next += 1  # skip the equals sign
        self.value(path)

    def value(self, path: KeyPath) -> None:
        if self.peek() == "[":
            self.array(path)
        elif self.peek() == "{":
            self.inline_table(path)
        else:
            while self.tokens[self.next].kind != "newline" and self.peek() not in (",", "]", "}"):
                self.next += 1

    def array(self, path: KeyPath) -> None:
        self.next += 1
        index = 0
        self.skip_newlines()
        while self.peek() != "]":
            item = (*path, index)
            self.positions[item] = self.tokens[self.next].at
            self.value(item)
            index += 1
            self.skip_separators()
        self.next += 1

    def inline_table(self, path: KeyPath) -> None:
        self.next += 1
        self.skip_separators()
        while self.peek() != "}":
            self.pair(path)
            self.skip_separators()
        self.next += 1

    def skip_separators(self) -> None:
        while self.tokens[self.next].kind == "newline" or self.peek() == ",":
            self.next += 1


def positions(text: str) -> dict[KeyPath, int]:
    """Return the offset of every key, list item and table in a valid TOML document.

    For a key, this is the offset of its last part; for a list item, of its value; for a table in an
    array, of the last part of the name in its header.
    """
    scanner = _Scanner(text)
    scanner.document()
    return scanner.positions


def line_and_column(text: str, offset: int) -> tuple[int, int]:
    """Return the line and column of an offset, counted from 1 as in editors."""
    line_start = text.rfind("\n", 0, offset) + 1
    return text.count("\n", 0, offset) + 1, offset - line_start + 1
