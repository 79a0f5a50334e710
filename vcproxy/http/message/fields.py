"""Fields: the field lines of a message, kept as bytes."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Final, TypeAlias, TypeVar, overload

from vcproxy.http.message.grammar import is_text, is_token

T = TypeVar("T")

ControlFields: TypeAlias = dict[bytes, bytes]
"""Values by name, both in lower case. The values of several lines are joined by ", " (RFC 9110
5.3): where only one is allowed, the result is malformed, as it should be."""

NO_DEFAULT: Final = object()

SHORT = 64
"""Characters of a value whose line is remembered: filters often add the same field."""

_CONTROL = (
    rb"\r\n(host|con(?:nection|tent-length)|t(?:e|ransfer-encoding)|expect|upgrade|keep-alive"
    rb"|via|proxy-(?:connection|auth(?:enticate|entication-info|orization))"
    rb"|forwarded|x-forwarded-[a-z-]++):"
)
_find_control = re.compile(_CONTROL + rb"[\t ]*+([^\r]*+)").findall
_is_control = lru_cache(256)(re.compile(_CONTROL).match)
_lines = re.compile(rb"\r\n([^:\r]++):[\t ]*+([^\r]*+)").findall
_each_line = re.compile(rb"\r\n([^:\r]++)[^\r]*+").finditer


class Fields:
    """Field lines in their order, like a dictionary; names are case-insensitive.

    Text is latin-1, in which every byte is one character. Lines are not split in advance: a lookup
    is a search in the bytes, and each change builds new ones.

    Names must be tokens (RFC 9110 5.1). Values must not have control characters except HTAB (so no
    CR, LF or NUL), and no white space around them (RFC 9110 5.5). Otherwise ValueError is raised.
    """

    __slots__ = ("_control", "block", "lower")

    block: bytes
    """The lines with a CRLF before the first, `\\r\\nA: 1\\r\\nB: 2\\r\\n`: so each name follows a
    CRLF."""
    lower: bytes
    """`block` in lower case, for searching."""
    _control: ControlFields | None

    def __init__(self, raw: bytes = b"") -> None:
        """Store valid lines, each ending in CRLF. They are not checked here."""
        self._set_block(b"\r\n" + raw)

    @classmethod
    def of(cls, fields: Fields | Mapping[str, str] | Iterable[tuple[str, str]]) -> Fields:
        """Return new fields from a mapping or pairs, or a copy of other fields."""
        if isinstance(fields, Fields):
            return cls(fields.raw)
        made = cls()
        for name, value in fields.items() if isinstance(fields, Mapping) else fields:
            made.add(name, value)
        return made

    def copy(self) -> Fields:
        """Return a copy."""
        other = Fields.__new__(Fields)
        other.block = self.block
        other.lower = self.lower
        other._control = self._control
        return other

    @property
    def raw(self) -> bytes:
        """The lines as they are sent."""
        return self.block[2:]

    @property
    def control(self) -> ControlFields:
        """The fields that the proxy itself evaluates: those about framing, the connection, the
        host, expectations, upgrades and forwarding."""
        if self._control is None:
            found: list[tuple[bytes, bytes]] = _find_control(self.lower)
            self._control = control = dict(found)
            if len(control) < len(found):
                values: dict[bytes, list[bytes]] = {name: [] for name in control}
                for name, value in found:
                    values[name].append(value)
                self._control = {name: b", ".join(each) for name, each in values.items()}
        return self._control

    @overload
    def get(self, name: str, default: None = None) -> str | None: ...
    @overload
    def get(self, name: str, default: str) -> str: ...
    def get(self, name: str, default: str | None = None) -> str | None:
        """Return the value; for several lines, their values joined by ", " (RFC 9110 5.3)."""
        key = _key(name)
        if key not in self.lower:
            return default
        return ", ".join(self._values(key))

    def get_all(self, name: str) -> list[str]:
        """Return the values of all lines of this name."""
        return self._values(_key(name))

    def add(self, name: str, value: str) -> None:
        """Add a line at the end. Raises ValueError, see Fields."""
        line = _short_line(name, value) if len(value) <= SHORT else _line(name, value)
        self.block += line
        self.lower += line.lower()
        if _is_control(_key(name)):
            self._control = None

    @overload
    def pop(self, name: str) -> str: ...
    @overload
    def pop(self, name: str, default: T) -> str | T: ...
    def pop(self, name: str, default: object = NO_DEFAULT) -> object:
        """Remove all lines of this name, and return what `get` would have returned.

        Without such a line, return `default`; raise KeyError if there is none. To remove a field
        whose value must not reach the server in any spelling, use `discard`.
        """
        value = self.get(name)
        if value is None:
            if default is NO_DEFAULT:
                raise KeyError(name)
            return default
        del self[name]
        return value

    def discard(self, name: str) -> None:
        """Remove all lines of this name, and of names that differ only in "_" instead of "-":
        CGI and WSGI treat these as the same name."""
        wanted = name.lower().encode("latin-1", "replace").replace(b"_", b"-")
        if b"\r\n%b:" % wanted not in self.lower.replace(b"_", b"-"):
            return
        spans = [
            line.span() for line in _each_line(self.lower) if line[1].replace(b"_", b"-") == wanted
        ]
        if spans:
            self._set_block(self._cut(spans))

    def items(self) -> list[tuple[str, str]]:
        """Return name and value of each line."""
        return [
            (name.decode("latin-1"), value.decode("latin-1")) for name, value in _lines(self.block)
        ]

    def without(self, names: Collection[bytes]) -> bytes:
        """Return the `block` without the lines of these names, which are in lower case."""
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
        """Set the value in the first line of this name, and remove all others."""
        key = _key(name)
        if key not in self.lower:
            self.add(name, value)
            return
        line = _line(name, value)
        spans = self._spans(key)
        at, end = spans[0]
        rest = self._cut(spans[1:])
        self._change(key, rest[: at + 2] + line[:-2] + rest[end:])

    def __delitem__(self, name: str) -> None:
        key = _key(name)
        spans = self._spans(key)
        if not spans:
            raise KeyError(name)
        self._change(key, self._cut(spans))

    def __contains__(self, name: str) -> bool:
        return _key(name) in self.lower

    def __iter__(self) -> Iterator[str]:
        return iter([name for name, _ in self.items()])

    def __len__(self) -> int:
        return self.block.count(b"\r\n") - 1

    def __eq__(self, other: object) -> bool:
        return self.block == other.block if isinstance(other, Fields) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # mutable

    def __repr__(self) -> str:
        return f"Fields({self.raw!r})"

    def _change(self, key: bytes, block: bytes) -> None:
        """Replace the lines; only those of one name differ."""
        control = self._control
        self._set_block(block)
        if not _is_control(key):
            self._control = control

    def _set_block(self, block: bytes) -> None:
        self.block = block
        self.lower = block.lower()
        self._control = None

    def _values(self, key: bytes) -> list[str]:
        return [
            self.block[at + len(key) : end].strip(b"\t ").decode("latin-1")
            for at, end in self._spans(key)
        ]

    def _spans(self, key: bytes) -> list[tuple[int, int]]:
        """Return the spans of lines, each from the CRLF before the line to the line's CRLF."""
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


@lru_cache(256)
def _key(name: str) -> bytes:
    return b"\r\n%s:" % name.lower().encode("latin-1", "replace")


def _line(name: str, value: str) -> bytes:
    try:
        line = f"{name}: {value}\r\n".encode("latin-1")
    except UnicodeEncodeError:
        raise ValueError(
            f"field {name!r}: {value!r} has characters outside latin-1: encode it"
        ) from None
    if not is_token(line, 0, len(name)):
        raise ValueError(
            f"field {name!r}: a name may have letters, digits and !#$%&'*+.^_`|~- only"
        )
    if not is_text(line, len(name) + 2, len(line) - 2):
        raise ValueError(f"field {name!r}: {value!r} has a control character")
    if value.strip(" \t") != value:
        raise ValueError(f"field {name!r}: {value!r} has white space around it")
    return line if value else line.replace(b" ", b"")


_short_line = lru_cache(256)(_line)
