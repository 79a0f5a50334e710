"""Options that plugins of messages share: how the messages are told apart, and JSON in them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from vcproxy.config.values import Size
from vcproxy.framing import framing as framings

KEYS = {
    "none": (),
    "datagram": (),
    "lines": (),
    "json-lines": (),
    "delimiter": ("delimiter",),
    "length-prefix": ("width", "byte_order", "inclusive"),
    "netstring": (),
    "fixed": ("size",),
}
"""What each framing wants to know besides its limit."""


@dataclass(frozen=True)
class OptionalFramingOptions:
    """How messages are told apart, if they are. A plugin's `Options` may extend it.

    Raises ValueError for a key that the framing does not have, or that it lacks.
    """

    framing: Literal[
        "none", "lines", "json-lines", "delimiter", "length-prefix", "netstring", "fixed"
    ] = "none"
    """What separates messages; "none": they are not told apart."""

    limit: Size = 64 << 10
    """The longest message; behind one that is longer nothing can be read."""

    delimiter: str | None = None
    """With framing = "delimiter": the text that ends each message, as "\\r\\n"."""

    width: Literal[1, 2, 4, 8] | None = None
    """With framing = "length-prefix": how many bytes the length has."""

    byte_order: Literal["big", "little"] | None = None
    """With framing = "length-prefix": which byte of the length comes first; "big" if left out."""

    inclusive: bool | None = None
    """With framing = "length-prefix": whether the length counts itself; not, if left out."""

    size: Size | None = None
    """With framing = "fixed": the size of every message."""

    def __post_init__(self) -> None:
        for owner, keys in KEYS.items():
            for key in keys:
                if getattr(self, key) is not None and owner != self.framing:
                    raise ValueError(f'{key} is for framing = "{owner}", this is "{self.framing}"')
        needed = KEYS[self.framing][:1]
        if needed and not getattr(self, needed[0]):
            raise ValueError(f'framing = "{self.framing}" needs {needed[0]}')

    @cached_property
    def message_framing(self) -> framings.Framing:
        """The framing that they stand for."""
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
        return framings.lines(self.limit)

    def encode_text(self, text: str) -> bytes:
        """Write a text as a message on the wire; nothing for an empty text."""
        return self.message_framing.encode(text.encode()) if text else b""


@dataclass(frozen=True)
class FramingOptions(OptionalFramingOptions):
    """How messages are told apart. A plugin's `Options` may extend it."""

    framing: Literal["lines", "json-lines", "delimiter", "length-prefix", "netstring", "fixed"] = (
        "lines"
    )
    """What separates messages."""


@dataclass(frozen=True)
class RefusingOptions(FramingOptions):
    """And what becomes of a message that is not valid."""

    answer: str = ""
    """The message that answers one that is not valid; empty: none."""

    keep: bool = False
    """Whether the client may go on after one that is not valid."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.encode_text(self.answer)

    @cached_property
    def refusal(self) -> bytes:
        """The answer on the wire."""
        return self.encode_text(self.answer)


def _no_number(constant: str) -> object:
    raise ValueError(f"{constant} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_no_number)


def parse_json(message: bytes) -> object:
    """Return what a JSON text stands for. Raises ValueError for anything else."""
    text = message.decode().strip(" \t\r\n")
    try:
        value, end = _DECODER.raw_decode(text)
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    if end != len(text):
        raise ValueError("more follows its end")
    return value
