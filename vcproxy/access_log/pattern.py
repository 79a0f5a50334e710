"""Pattern: a format of records, compiled for one kind of records: JSON, a line, or a template.

    pattern = compiled("{client} {end}", "tcp")
    pattern.line({"client": "10.0.0.1:4711", "end": "--"})       # b"10.0.0.1:4711 --\n"

What is the same for many records is filled in once:

    of_client = pattern.filled({"client": "10.0.0.1:4711"})
    of_client.template % (b"--",)           # of_client.names is ("end",)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache
from json import JSONEncoder
from json.encoder import encode_basestring_ascii
from typing import Any, Final, NamedTuple, TypeAlias

from vcproxy.access_log.fields import BY_NAME, KINDS, Kind, Type, fields_of
from vcproxy.printable_text import printable

Encoder: TypeAlias = Callable[[Any], bytes]
"""Turns the value of a field into what a line contains."""

JSON: Final = "json"
LINE: Final = "line"

LINES: Final[dict[Kind, str]] = {
    "tcp": (
        "{time} {listener} {client} {upstream}/{server} "
        "{time_queue}/{time_connect}/{time_first_byte}/{time_total} {bytes_up} {bytes_down} {end}"
    ),
    "udp": (
        "{time} {listener} {client} {upstream}/{server} "
        "{time_queue}/{time_connect}/{time_first_byte}/{time_total} {bytes_up} {bytes_down} {end}"
    ),
    "http": (
        "{time} {listener} {client} {upstream}/{server} "
        "{time_queue}/{time_connect}/{time_first_byte}/{time_total} {status} {bytes_up} "
        '{bytes_down} {end} "{method} {target} {version}"'
    ),
}
"""The templates of the format "line"."""


class UnknownField(ValueError):
    """A template names a field that does not exist; or it has a brace that is not closed."""


class Slot(NamedTuple):
    """The place of a field in a pattern."""

    name: str
    """The field, or extra.NAME."""
    encode: Encoder


class Pattern:
    """How records of one kind become lines."""

    __slots__ = ("_pieces", "_slots", "names", "template")

    def __init__(self, pieces: tuple[bytes | Slot, ...]) -> None:
        """Make it. `pieces`: what a line consists of."""
        self._pieces = pieces
        self._slots = tuple(each for each in pieces if isinstance(each, Slot))
        self.names = tuple(each.name for each in self._slots)
        """The fields that the template needs, in its order; a field may be there twice."""
        self.template = b"".join(
            b"%b" if isinstance(each, Slot) else each.replace(b"%", b"%%") for each in pieces
        )
        """A template of the operator %, for the encoded values of `names`."""

    @property
    def encoders(self) -> tuple[Encoder, ...]:
        """How the value of each of `names` is encoded."""
        return tuple(each.encode for each in self._slots)

    def filled(self, values: Mapping[str, object]) -> Pattern:
        """Return a pattern that has the values of these fields already."""
        return Pattern(
            tuple(
                each.encode(values[each.name])
                if isinstance(each, Slot) and each.name in values
                else each
                for each in self._pieces
            )
        )

    def line(self, values: Mapping[str, object]) -> bytes:
        """Return the line of a record. A field without a value is shown as absent.

        The field `extra` is a mapping, also for a template with extra.NAME.
        """
        get = values.get
        return self.template % tuple([encode(get(name)) for name, encode in self._slots])


@cache  # as many as the configuration has formats
def compiled(form: str, kind: Kind) -> Pattern:
    """Return the pattern of a format: "json", "line", or a template such as "{client} {end}".

    Raises UnknownField.
    """
    if form == JSON:
        return _json(kind)
    template = LINES[kind] if form == LINE else form
    pieces: list[bytes | Slot] = []
    for literal, name in _split(template):
        pieces.append(literal)
        if name:
            pieces.append(_slot(name))
    return Pattern((*pieces, b"\n"))


def check(form: str) -> None:
    """Raise UnknownField if a format is not valid."""
    for kind in KINDS:
        compiled(form, kind)


_PIECE = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]|[^{}]+")


def _split(template: str) -> list[tuple[bytes, str]]:
    """Return the literals of a template, each with the name of the field that follows it."""
    found: list[tuple[bytes, str]] = []
    literal = ""
    for match in _PIECE.finditer(template):
        piece, name = match[0], match[1]
        if name is not None:
            found.append((literal.encode(), name))
            literal = ""
        elif piece in ("{", "}"):
            raise UnknownField(f'"{piece}" stands alone: write {piece * 2} for the character')
        else:
            literal += piece[0] if piece in ("{{", "}}") else piece
    if any(each < " " for each in template):
        raise UnknownField("contains a control character: a record is one line")
    return [*found, (literal.encode(), "")]


def _slot(name: str) -> Slot:
    owner, dot, key = name.partition(".")
    if owner == "extra" and dot and key:
        return Slot("extra", lambda extra: _text((extra or {}).get(key)))
    if name not in BY_NAME:
        from difflib import get_close_matches  # only for an error

        near = get_close_matches(name, [*BY_NAME, "extra.NAME"], 1)
        hint = f'; did you mean "{near[0]}"?' if near else ""
        raise UnknownField(f'there is no field "{name}"{hint}')
    return Slot(name, TEXT[BY_NAME[name].type])


def _json(kind: Kind) -> Pattern:
    pieces: list[bytes | Slot] = []
    before = b"{"
    for field in fields_of(kind):
        if field.name == "extra":
            pieces.append(Slot("extra", _json_extra))
        else:
            pieces.append(b'%b"%b":' % (before, field.name.encode()))
            pieces.append(Slot(field.name, IN_JSON[field.type]))
            before = b","
    return Pattern((*pieces, b"}\n"))


# -- values in JSON ------------------------------------------------------------------------------

_encode_json = JSONEncoder(separators=(",", ":"), default=str).encode


def _decoded(value: str | bytes) -> str:
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else value


def _json_text(value: str | bytes | None) -> bytes:
    if value is None:
        return b"null"
    if isinstance(value, bytes):
        value = value.decode(errors="backslashreplace")
    return encode_basestring_ascii(value).encode()


def _json_integer(value: int | None) -> bytes:
    return b"null" if value is None else b"%d" % value


def _json_milliseconds(value: float | None) -> bytes:
    return b"null" if value is None else b"%.1f" % (value * 1000)


def _json_object(value: object) -> bytes:
    return _encode_json(value).encode() if value else b"null"


def _json_texts(value: object) -> bytes:
    return _encode_json(value).encode() if value else b"[]"


def _json_extra(value: Mapping[str, object] | None) -> bytes:
    return b',"extra":' + _encode_json(value).encode() if value else b""


IN_JSON: Final[dict[Type, Encoder]] = {
    "text": _json_text,
    "integer": _json_integer,
    "milliseconds": _json_milliseconds,
    "texts": _json_texts,
    "counts": _json_object,
    "mapping": _json_object,
}
"""How values are shown in JSON, by the type of their field."""


# -- values in text ------------------------------------------------------------------------------


def _text(value: object) -> bytes:
    """Return a text without control characters; quotes and backslashes are escaped."""
    if value is None or value == "" or value == b"":
        return b"-"
    text = _decoded(value) if isinstance(value, str | bytes) else str(value)
    if '"' in text or "\\" in text:
        text = text.replace("\\", "\\\\").replace('"', '\\"')
    if not text.isprintable():
        text = printable(text).replace("\n", "\\x0a")
    return text.encode(errors="backslashreplace")


def _text_integer(value: int | None) -> bytes:
    return b"-" if value is None else b"%d" % value


def _text_milliseconds(value: float | None) -> bytes:
    return b"-" if value is None else b"%.1f" % (value * 1000)


def _text_texts(value: tuple[str, ...] | None) -> bytes:
    return _text(",".join(value) if value else None)


def _text_counts(value: Mapping[str, object] | None) -> bytes:
    return _text(",".join(f"{name}={count}" for name, count in value.items()) if value else None)


TEXT: Final[dict[Type, Encoder]] = {
    "text": _text,
    "integer": _text_integer,
    "milliseconds": _text_milliseconds,
    "texts": _text_texts,
    "counts": _text_counts,
    "mapping": _text_counts,
}
"""How values are shown in templates, by the type of their field."""
