"""Fields: the field lines of a message, kept as the bytes they are sent as."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import TypeAlias, overload

from vcproxy.http.message.grammar import is_text, is_token

Marks: TypeAlias = dict[bytes, bytes]
"""Values by name, both in lower case; of several lines, the values joined by ", " (RFC 9110 5.3):
where only one may stand, such a value is as malformed as it should be."""

_find_marks = re.compile(
    rb"\r\n(host|con(?:nection|tent-length)|t(?:e|ransfer-encoding)|expect|upgrade|keep-alive"
    rb"|via|proxy-(?:connection|auth(?:enticate|entication-info|orization))"
    rb"|forwarded|x-forwarded-[a-z-]++):[\t ]*+([^\r]*+)"
).findall
_lines = re.compile(rb"\r\n([^:\r]++):[\t ]*+([^\r]*+)").findall
_each_line = re.compile(rb"\r\n([^:\r]++)[^\r]*+").finditer


class Fields:
    """Field lines in their order; names are the same in upper and lower case.

    Text is latin-1, in which every byte is one character. Nothing is split before somebody asks:
    a look-up is a search in the bytes, and each change makes them anew.

    Names are tokens (RFC 9110 5.1). Values hold no control characters but HTAB, so no CR, LF or
    NUL, and no white space around them (RFC 9110 5.5); everything else is a ValueError.
    """

    __slots__ = ("_marks", "block", "lower")

    block: bytes
    """The lines with a line end before them, `\\r\\nA: 1\\r\\nB: 2\\r\\n`: every name has one."""
    lower: bytes
    """The same in lower case, to look in."""
    _marks: Marks | None

    def __init__(self, raw: bytes = b"") -> None:
        """Take lines, each ending in CRLF, that somebody has checked."""
        self._become(b"\r\n" + raw)

    @classmethod
    def of(cls, fields: Fields | Mapping[str, str] | Iterable[tuple[str, str]]) -> Fields:
        """Make fields of a mapping or of pairs; copy those that are some already."""
        if isinstance(fields, Fields):
            return cls(fields.raw)
        made = cls()
        for name, value in fields.items() if isinstance(fields, Mapping) else fields:
            made.add(name, value)
        return made

    def copy(self) -> Fields:
        """Return others that are the same."""
        other = Fields.__new__(Fields)
        other.block = self.block
        other.lower = self.lower
        other._marks = self._marks
        return other

    @property
    def raw(self) -> bytes:
        """The lines as they would be sent."""
        return self.block[2:]

    @property
    def marks(self) -> Marks:
        """The lines that a proxy itself must look at: those about framing, the connection, the
        host, expectations, upgrades and who forwarded the message."""
        if self._marks is None:
            found: list[tuple[bytes, bytes]] = _find_marks(self.lower)
            self._marks = marks = dict(found)
            if len(marks) < len(found):
                values: dict[bytes, list[bytes]] = {name: [] for name in marks}
                for name, value in found:
                    values[name].append(value)
                self._marks = {name: b", ".join(each) for name, each in values.items()}
        return self._marks

    @overload
    def get(self, name: str, default: None = None) -> str | None: ...
    @overload
    def get(self, name: str, default: str) -> str: ...
    def get(self, name: str, default: str | None = None) -> str | None:
        """The value; of several lines, the values joined by ", " (RFC 9110 5.3)."""
        key = _key(name)
        if key not in self.lower:
            return default
        return ", ".join(self._values(key))

    def get_all(self, name: str) -> list[str]:
        """The values of all lines of this name."""
        return self._values(_key(name))

    def add(self, name: str, value: str) -> None:
        """Put one more line at the end. Raises ValueError, see Fields."""
        line = _line(name, value)
        self.block += line
        self.lower += line.lower()
        self._marks = None

    def discard(self, name: str) -> None:
        """Remove all lines of this name, if there are any; and those of names that differ only by
        "_" for "-", which CGI and WSGI take for the same."""
        wanted = name.lower().encode("latin-1", "replace").replace(b"_", b"-")
        spans = [
            line.span() for line in _each_line(self.lower) if line[1].replace(b"_", b"-") == wanted
        ]
        if spans:
            self._become(self._cut(spans))

    def items(self) -> list[tuple[str, str]]:
        """Name and value of each line."""
        return [
            (name.decode("latin-1"), value.decode("latin-1")) for name, value in _lines(self.block)
        ]

    def without(self, names: Collection[bytes]) -> bytes:
        """The `block` without the lines of these names, which are in lower case."""
        # Both ways return the same. Searching for a few names is faster; many, as in Connection,
        # are looked up line by line.
        if len(names) > 8:
            return self._cut([line.span() for line in _each_line(self.lower) if line[1] in names])
        return self._cut([span for name in names for span in self._spans(b"\r\n%b:" % name)])

    def __getitem__(self, name: str) -> str:
        value = self.get(name)
        if value is None:
            raise KeyError(name)
        return value

    def __setitem__(self, name: str, value: str) -> None:
        """Set the value, where the first line of this name is, and drop all others."""
        line = _line(name, value)
        spans = self._spans(_key(name))
        if spans:
            at, end = spans[0]
            rest = self._cut(spans[1:])
            self._become(rest[: at + 2] + line[:-2] + rest[end:])
        else:
            self._become(self.block + line)

    def __delitem__(self, name: str) -> None:
        spans = self._spans(_key(name))
        if not spans:
            raise KeyError(name)
        self._become(self._cut(spans))

    def __contains__(self, name: str) -> bool:
        return _key(name) in self.lower

    def __iter__(self) -> Iterator[str]:
        return iter([name for name, _ in self.items()])

    def __len__(self) -> int:
        return self.block.count(b"\r\n") - 1

    def __eq__(self, other: object) -> bool:
        return self.block == other.block if isinstance(other, Fields) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # they change

    def __repr__(self) -> str:
        return f"Fields({self.raw!r})"

    def _become(self, block: bytes) -> None:
        self.block = block
        self.lower = block.lower()
        self._marks = None

    def _values(self, key: bytes) -> list[str]:
        return [
            self.block[at + len(key) : end].strip(b"\t ").decode("latin-1")
            for at, end in self._spans(key)
        ]

    def _spans(self, key: bytes) -> list[tuple[int, int]]:
        """Where lines are, each from the line end before it to its own."""
        lower, spans = self.lower, []
        at = lower.find(key)
        while at >= 0:
            end = lower.find(b"\r\n", at + 2)
            spans.append((at, end))
            at = lower.find(key, end)
        return spans

    def _cut(self, spans: list[tuple[int, int]]) -> bytes:
        block = self.block
        if len(spans) == 1:
            ((at, end),) = spans
            return block[:at] + block[end:]
        kept, behind = [], 0
        for at, end in sorted(spans):
            kept.append(block[behind:at])
            behind = end
        kept.append(block[behind:])
        return b"".join(kept)


def _key(name: str) -> bytes:
    return b"\r\n%s:" % name.lower().encode("latin-1", "replace")


def _line(name: str, value: str) -> bytes:
    try:
        line = f"{name}: {value}\r\n".encode("latin-1")
    except UnicodeEncodeError:
        raise ValueError(f"field {name!r}: {value!r} is not all latin-1: encode it") from None
    if not is_token(line, 0, len(name)):
        raise ValueError(f"field {name!r}: a name is made of letters, digits and !#$%&'*+.^_`|~-")
    if not is_text(line, len(name) + 2, len(line) - 2):
        raise ValueError(f"field {name!r}: {value!r} holds a control character")
    if value.strip(" \t") != value:
        raise ValueError(f"field {name!r}: {value!r} has white space around it")
    return line if value else line.replace(b" ", b"")
