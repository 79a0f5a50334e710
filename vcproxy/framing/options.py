"""Options of plugins that handle messages: their framing; and a strict JSON parser.

The plugins that use them are tested in tests/plugins/.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, PlainValidator, WithJsonSchema

from vcproxy.config.errors import KeyProblem, OptionsError
from vcproxy.config.values import Size
from vcproxy.framing import framing as framings

FramingName: TypeAlias = Literal[
    "lines",
    "json-lines",
    "delimiter",
    "length-prefix",
    "netstring",
    "fixed",
    "length-at",
    "between",
    "slip",
    "hdlc",
    "cobs",
    "mqtt",
    "header-fields",
    "stomp",
    "rfc6587",
    "mllp",
    "resp",
    "mbap",
    "tpkt",
    "iec104",
    "dns-tcp",
    "postgresql",
    "fix",
    "nmea",
    "beast",
    "mpegts",
    "modbus-rtu",
]
"""Every framing of messages. Where it is optional, there is also "none"."""

DEFAULT_LIMIT = 64 << 10


def _text_or_numbers(value: object) -> object:
    numbers = value if isinstance(value, list) else [None]
    if isinstance(value, str) or all(type(each) is int and 0 <= each < 256 for each in numbers):
        return value
    raise ValueError("must be a text, or a list of numbers from 0 to 255, such as [0x1c, 0x0d]")


Bytes: TypeAlias = Annotated[
    str | list[int],
    PlainValidator(_text_or_numbers),
    WithJsonSchema(
        {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "integer"}}]}
    ),
]
"""Bytes in a configuration: a text, as UTF-8; or a list of numbers, such as [0x1c, 0x0d]."""


@dataclass(frozen=True, slots=True)
class Kind:
    """How a framing is made from options: by a function of a module beside this one.

    An option is the argument of the same name, unless ARGUMENTS has another.
    """

    function: str
    module: str = ""
    """Default: named like the function."""
    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    limited: bool = True
    """Whether it has the option `limit`; else its messages have a size of their own."""
    checked: bool = False
    """Whether the options of `checked` can be used with it."""
    sides: tuple[str, ...] = ()
    """The first argument for messages of clients, and the one for those of servers; none: both
    frame their messages alike."""


ARGUMENTS = {"byte_order": "order", "delimiter": "between", "size": "each"}
"""Options with other names than the arguments."""

CHECK_KEYS = ("check", "check_at", "check_first")

KINDS: dict[str, Kind] = {
    "lines": Kind("lines", "framing", checked=True),
    "json-lines": Kind("json_lines", "framing"),
    "delimiter": Kind("delimiter", "framing", required=("delimiter",), checked=True),
    "length-prefix": Kind(
        "length_prefix",
        "framing",
        required=("width",),
        optional=("byte_order", "inclusive"),
        checked=True,
    ),
    "netstring": Kind("netstring", "framing", checked=True),
    "fixed": Kind("fixed", "framing", required=("size",), limited=False, checked=True),
    "length-at": Kind(
        "length_at",
        required=("offset", "width"),
        optional=("byte_order", "counts", "header"),
        checked=True,
    ),
    "between": Kind("between", required=("start", "end"), optional=("gaps", "check")),
    "slip": Kind("slip", checked=True),
    "hdlc": Kind("hdlc", optional=("check",)),
    "cobs": Kind("cobs", checked=True),
    "mqtt": Kind("mqtt"),
    "header-fields": Kind("header_fields", optional=("length_field", "whole")),
    "stomp": Kind("stomp"),
    "rfc6587": Kind("rfc6587", optional=("encoding",)),
    "mllp": Kind("mllp", "between"),
    "resp": Kind("resp"),
    "mbap": Kind("mbap", limited=False),
    "tpkt": Kind("tpkt"),
    "iec104": Kind("iec104", limited=False),
    "dns-tcp": Kind("dns_tcp", limited=False),
    "postgresql": Kind("postgresql", sides=("client", "server")),
    "fix": Kind("fix"),
    "nmea": Kind("nmea", optional=("unchecked",)),
    "beast": Kind("beast", limited=False),
    "mpegts": Kind("mpegts", limited=False),
    "modbus-rtu": Kind("modbus_rtu", limited=False, sides=("request", "reply")),
}
"""Every framing: the one table for validate, split, relay and mirror."""

NO_KIND = Kind("", limited=True)
"""Of "none", and of "datagram" of a relay."""


@dataclass(frozen=True)
class OptionalFramingOptions:
    """How the stream is split into messages, if at all. A plugin's `Options` may extend it.

    Raises OptionsError, a ValueError, for a key that the framing does not have, a required key that
    is missing, and values that do not fit together.
    """

    framing: Literal["none", FramingName] = "none"
    """How messages are separated; "none": the stream is not split into messages."""

    limit: Size = DEFAULT_LIMIT
    """The longest message; after a longer one no more messages can be found."""

    delimiter: Bytes | None = None
    """With framing = "delimiter": what ends each message, for example "\\r\\n". Bytes that are no
    text are a list of numbers."""

    offset: Annotated[int, Field(ge=0)] | None = None
    """With framing = "length-at": the number of bytes before the length."""

    width: Annotated[int, Field(ge=1, le=8)] | None = None
    """With framing = "length-prefix" (1, 2, 4 or 8) or "length-at": the number of bytes of the
    length."""

    byte_order: Literal["big", "little"] | None = None
    """With these: the byte order of the length; default "big"."""

    inclusive: bool | None = None
    """With framing = "length-prefix": whether the length includes its own bytes; default false."""

    counts: Literal["rest", "field", "frame"] | None = None
    """With framing = "length-at": what the length counts: the "rest" behind it, the default; that
    and its own bytes, "field"; the whole "frame"."""

    header: Annotated[int, Field(ge=0)] | None = None
    """With framing = "length-at": bytes behind the length that it does not count; default 0."""

    size: Size | None = None
    """With framing = "fixed": the size of every message."""

    start: Bytes | None = None
    """With framing = "between": what stands before each message, for example [0x02]."""

    end: Bytes | None = None
    """With framing = "between": what stands behind it, for example [0x03]."""

    gaps: Literal["refuse", "blank", "skip"] | None = None
    """With framing = "between": what may stand between messages: nothing, with "refuse", the
    default; blanks and line ends, with "blank"; anything, with "skip"."""

    length_field: str | None = None
    """With framing = "header-fields": the field with the length; default "Content-Length"."""

    whole: bool | None = None
    """With framing = "header-fields": whether the head is a part of the message; default false."""

    encoding: Literal["octet-counting", "newline"] | None = None
    """With framing = "rfc6587": how messages are sent; default "octet-counting"."""

    unchecked: bool | None = None
    """With framing = "nmea": whether sentences without a checksum are messages; default false."""

    check: str | None = None
    """With "lines", "delimiter", "length-prefix", "netstring", "fixed", "length-at", "between",
    "slip", "hdlc" or "cobs": the checksum of each message, such as "crc16-modbus" or "xor". It is
    removed from the message and added again, unless `check_at` is set; "between" has it behind
    `end`. Default: none, but "crc16-x25" with "hdlc"."""

    check_at: int | None = None
    """With `check`: where in the message it stands, below 0 from its end. Then it is a part of the
    message. Default: at its end."""

    check_first: Annotated[int, Field(ge=0)] | None = None
    """With `check`: the first byte of the message that it covers; default 0."""

    def __post_init__(self) -> None:
        problems = tuple(KeyProblem(path, text) for path, text in self._framing_problems())
        if not problems:
            try:
                _ = self.message_framing
            except ValueError as error:
                problems = (KeyProblem(("framing",), str(error)),)
        if problems:
            raise OptionsError(*problems)

    def _framing_problems(self) -> Iterator[tuple[tuple[str, ...], str]]:
        kind = KINDS.get(self.framing, NO_KIND)
        own = {*kind.required, *kind.optional, *(CHECK_KEYS if kind.checked else ())}
        for key in _KEYS:
            if key not in own and getattr(self, key) is not None:
                owners = " or ".join(f'"{each}"' for each in _KEYS[key])
                yield (key,), f'is for framing = {owners}, not "{self.framing}"'
        for key in kind.required:
            if getattr(self, key) in (None, "", []):
                yield (key,), f'is missing: framing = "{self.framing}" needs it'
        if not kind.limited and self.limit != DEFAULT_LIMIT:
            yield ("limit",), f'has no effect with framing = "{self.framing}": its sizes are fixed'
        if self.check and "check" in own:
            from vcproxy.framing.checks import check_sum  # few framings have a check

            try:
                check_sum(self.check)
            except ValueError as error:
                yield ("check",), str(error)
        if kind.checked and self.check is None:
            for key in ("check_at", "check_first"):
                if getattr(self, key) is not None:
                    yield (key,), "has no effect without check"

    @cached_property
    def message_framing(self) -> framings.Framing:
        """The framing that these options describe, of messages of clients."""
        return self._made(0)

    @cached_property
    def reply_framing(self) -> framings.Framing:
        """The framing of the server's replies: the same, except for protocols with two."""
        return self._made(1) if KINDS.get(self.framing, NO_KIND).sides else self.message_framing

    def _made(self, side: int) -> framings.Framing:
        if self.framing not in KINDS:
            return framings.UNFRAMED
        kind = KINDS[self.framing]
        module = import_module(f"vcproxy.framing.{kind.module or kind.function}")
        arguments: dict[str, Any] = {"limit": self.limit} if kind.limited else {}
        for key in (*kind.required, *kind.optional):
            value = getattr(self, key)
            if value is not None:
                as_bytes = key in ("delimiter", "start", "end")
                arguments[ARGUMENTS.get(key, key)] = _bytes(value) if as_bytes else value
        made: framings.Framing = getattr(module, kind.function)(
            *kind.sides[side : side + 1], **arguments
        )
        if self.check and kind.checked:
            from vcproxy.framing.checked import checked  # few framings have a check

            return checked(made, self.check, self.check_at, self.check_first or 0)
        return made

    def encode_text(self, text: str) -> bytes:
        """Return a text as a message with its framing; b"" for an empty text."""
        return self.message_framing.encode(text.encode()) if text else b""


_KEYS: dict[str, list[str]] = {}
for _name, _kind in KINDS.items():
    for _key in (*_kind.required, *_kind.optional, *(CHECK_KEYS if _kind.checked else ())):
        _KEYS.setdefault(_key, []).append(_name)


def _bytes(value: str | list[int]) -> bytes:
    return value.encode() if isinstance(value, str) else bytes(value)


@dataclass(frozen=True)
class FramingOptions(OptionalFramingOptions):
    """How the stream is split into messages. A plugin's `Options` may extend it."""

    framing: FramingName = "lines"
    """How messages are separated."""


@dataclass(frozen=True)
class RefusingOptions(FramingOptions):
    """How the stream is split into messages, and what happens after an invalid message."""

    answer: str = ""
    """The message that is sent to the client after an invalid message; empty: none."""

    keep: bool = False
    """Whether the client stays connected after an invalid message."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.encode_text(self.answer)

    @cached_property
    def refusal(self) -> bytes:
        """The answer with its framing."""
        return self.encode_text(self.answer)


def _refuse_constant(constant: str) -> object:
    raise ValueError(f"{constant} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


def parse_json(message: bytes) -> object:
    """Return the value of a JSON text. Raises ValueError if it is not valid JSON (RFC 8259)."""
    text = message.decode().strip(" \t\r\n")
    try:
        value, end = _DECODER.raw_decode(text)
    except RecursionError:
        raise ValueError("JSON is nested too deeply") from None
    if end != len(text):
        raise ValueError("data after the end of the JSON text")
    return value
