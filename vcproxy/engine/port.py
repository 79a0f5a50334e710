"""Port: what a driver has for each VC. Implemented in vcproxy/drivers. Tested in tests/drivers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from vcproxy.engine.blocks import Block
    from vcproxy.engine.file_range import FileRange


class Port(Protocol):
    """What a driver keeps for a VC: the descriptor, its readiness, its TLS filter."""

    spliceable: bool
    """Whether a bridge may move the bytes of the port: it is a plain stream socket."""

    def read(self) -> None:
        """Call `begin_read` and read, if the descriptor is ready. The VC was listed."""

    def write(self) -> None:
        """Call `begin_write` and write, if the descriptor is ready. The VC was listed."""

    def push(self, data: Block) -> int:
        """Write at once, before anything is queued; return how many bytes were taken, or 0.

        On a message-oriented VC the data are one message, which is taken whole or not at all.

        The lock is held: it must not report anything to the engine before it returns.
        """

    def close(self, abort: bool) -> None:
        """Close: at once with a reset (`abort`), or after everything sent has been transmitted."""


class FilePort(Port, Protocol):
    """A stream port, which can send ranges of files."""

    def expect_files(self) -> None:
        """From now on `begin_write` may return ranges of files; until it returns bytes only."""

    def push_file(self, piece: FileRange) -> int:
        """Send a part of a range at once, as `push` does; return how many bytes were taken."""


class MessagePort(Port, Protocol):
    """A message-oriented port: each block that is pushed or written is one message."""

    def push_each(self, blocks: Sequence[Block]) -> int:
        """Push several messages; return how many bytes were taken, of whole messages."""
