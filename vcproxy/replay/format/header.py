"""Header: what a replay needs besides the driver's calls. Tested in tests/replay/test_format.py."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Literal
from zlib import crc32

from vcproxy.replay.format.values import pack, unpack
from vcproxy.replay.format.varint import BrokenOctets, Cursor

Mark = Literal["redacted", "cut"]
"""What was done to a log after the recording: it is no longer complete."""


@dataclass(frozen=True, slots=True)
class Header:
    """The first frame of a log."""

    python: str
    """The version of Python."""
    vcproxy: str
    """The version of vcproxy."""
    hash_seed: str
    """PYTHONHASHSEED: the order of sets of strings depends on it."""
    seed: int
    """The seed of `engine.random`."""
    file: str
    """The absolute path of the configuration."""
    configuration: str
    """The text of the configuration."""
    sources: Mapping[str, bytes]
    """The sources of the plugins: of a file by its path, of a module by its name."""
    outputs: Literal["digest", "full"] = "digest"
    """Whether outputs are recorded as digests only, or in full."""
    compress: bool = False
    """Whether frames are compressed where this saves space."""
    marks: tuple[Mark, ...] = ()
    conversations: tuple[tuple[int, ...], ...] = ()
    """In a log with a mark: for each conversation the VC of its client, 0 if there is none, and the
    VCs of its servers. The accepted connections of a cut log are these clients, in this order."""

    @property
    def token(self) -> str:
        """The token of the engine. See Engine."""
        return f"{crc32(str(self.seed).encode()):08x}"

    def marked(self, mark: Mark) -> Header:
        """Return the header with a mark added, unless it has it already."""
        return replace(self, marks=tuple(dict.fromkeys((*self.marks, mark))))

    def pack(self) -> bytes:
        """Return the header encoded."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return pack({**values, "sources": dict(self.sources)})

    @classmethod
    def unpack(cls, data: bytes) -> Header:
        """Decode a header. Raises BrokenOctets."""
        values = unpack(Cursor(data))
        try:
            return cls(**values)  # type: ignore[arg-type]
        except TypeError as error:
            raise BrokenOctets(str(error)) from None
