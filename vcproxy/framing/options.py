"""Options of plugins that handle messages: their framing; and a strict JSON parser.

The plugins that use them are tested in tests/plugins/.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from vcproxy.config.values import Size
from vcproxy.framing import framing as framings
from vcproxy.framing.mpegts import mpegts

KEYS = {
    "none": (),
    "datagram": (),
    "lines": (),
    "json-lines": (),
    "delimiter": ("delimiter",),
    "length-prefix": ("width", "byte_order", "inclusive"),
    "netstring": (),
    "fixed": ("size",),
    "mpegts": (),
}
"""The options of each framing besides `limit`; the first one is required."""


@dataclass(frozen=True)
class OptionalFramingOptions:
    """How the stream is split into messages, if at all. A plugin's `Options` may extend it.

    Raises ValueError for a key that the framing does not have, or if a required key is missing.
    """

    framing: Literal[
        "none", "lines", "json-lines", "delimiter", "length-prefix", "netstring", "fixed"
    ] = "none"
    """How messages are separated; "none": the stream is not split into messages."""

    limit: Size = 64 << 10
    """The longest message; after a longer one no more messages can be found."""

    delimiter: str | None = None
    """With framing = "delimiter": the text that ends each message, for example "\\r\\n"."""

    width: Literal[1, 2, 4, 8] | None = None
    """With framing = "length-prefix": the number of bytes of the length."""

    byte_order: Literal["big", "little"] | None = None
    """With framing = "length-prefix": the byte order of the length; default "big"."""

    inclusive: bool | None = None
    """With framing = "length-prefix": whether the length includes its own bytes; default false."""

    size: Size | None = None
    """With framing = "fixed": the size of every message."""

    def __post_init__(self) -> None:
        for owner, keys in KEYS.items():
            for key in keys:
                if getattr(self, key) is not None and owner != self.framing:
                    raise ValueError(f'{key} is for framing = "{owner}", not "{self.framing}"')
        needed = KEYS.get(self.framing, ())[:1]
        if needed and not getattr(self, needed[0]):
            raise ValueError(f'framing = "{self.framing}" needs {needed[0]}')

    @cached_property
    def message_framing(self) -> framings.Framing:
        """The framing that these options describe."""
        match self.framing:
            case "none":
                return framings.UNFRAMED
            case "json-lines":
                return framings.json_lines(self.limit)
            case "delimiter":
                return framings.delimiter((self.delimiter or "").encode(), self.limit)
            case "length-prefix":
                order, inclusive = self.byte_order or "big", self.inclusive or False
                return framings.length_prefix(self.width or 0, order, inclusive, self.limit)
            case "netstring":
                return framings.netstring(self.limit)
            case "fixed":
                return framings.fixed(self.size or 0)
            case "mpegts":
                return mpegts()
        return framings.lines(self.limit)

    def encode_text(self, text: str) -> bytes:
        """Return a text as a message with its framing; b"" for an empty text."""
        return self.message_framing.encode(text.encode()) if text else b""


@dataclass(frozen=True)
class FramingOptions(OptionalFramingOptions):
    """How the stream is split into messages. A plugin's `Options` may extend it."""

    framing: Literal["lines", "json-lines", "delimiter", "length-prefix", "netstring", "fixed"] = (
        "lines"
    )
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
