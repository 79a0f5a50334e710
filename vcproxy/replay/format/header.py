"""Header: what a recording must know to be run again, beside what the driver said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Literal
from zlib import crc32

from vcproxy.replay.format.values import pack, unpack
from vcproxy.replay.format.varint import BrokenOctets, Cursor

Mark = Literal["redacted", "cut"]
"""What was done to a log: it no longer says what was, or not all of it."""


@dataclass(frozen=True, slots=True)
class Header:
    """The first frame of a log."""

    python: str
    """The version of Python that ran."""
    vcproxy: str
    """The version of this program."""
    hash_seed: str
    """PYTHONHASHSEED: in its order are sets of text."""
    seed: int
    """Of `engine.random`."""
    file: str
    """The configuration's path, absolute."""
    configuration: str
    """Its text."""
    sources: Mapping[str, bytes]
    """The plugins: the source of each file by its path, of each module by its name."""
    outputs: Literal["digest", "full"] = "digest"
    """Whether outputs are there as digests only."""
    compress: bool = False
    """Whether frames are compressed where that gains."""
    marks: tuple[Mark, ...] = ()
    conversations: tuple[tuple[int, ...], ...] = ()
    """In a log with a mark: of each conversation the VC of its client, 0 if there is none, and
    those of its servers. In a cut log, what is Accepted are those clients, in order."""

    @property
    def token(self) -> str:
        """That of its engine: see Engine."""
        return f"{crc32(str(self.seed).encode()):08x}"

    def marked(self, mark: Mark) -> Header:
        """The same with a mark, once."""
        return replace(self, marks=tuple(dict.fromkeys((*self.marks, mark))))

    def pack(self) -> bytes:
        """Write it."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return pack({**values, "sources": dict(self.sources)})

    @classmethod
    def unpack(cls, data: bytes) -> Header:
        """Read it. Raises BrokenOctets."""
        values = unpack(Cursor(data))
        try:
            return cls(**values)  # type: ignore[arg-type]
        except TypeError as error:
            raise BrokenOctets(str(error)) from None
