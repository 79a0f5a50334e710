"""FramedConnection: one server connection that writes requests and reads replies.

Tested in tests/messages/test_splitter.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from vcproxy.engine.blocks import SLAB
from vcproxy.framing.decoding import Damaged
from vcproxy.messages.split_rules import DAMAGED, Part
from vcproxy.sessions.streams import InputStream, OutputStream

if TYPE_CHECKING:
    from vcproxy.engine.continuation import Continuation
    from vcproxy.engine.net import NetVConnection
    from vcproxy.framing.framing import Framing


class FramedConnection:
    """Requests are queued, and written together by `flush`; replies are read as whole messages.

    Events of its VIOs go to `cont`: see InputStream and OutputStream.
    """

    __slots__ = ("_output", "_queued", "_queued_bytes", "_vc", "blocked", "input")

    def __init__(self, cont: Continuation, vc: NetVConnection, framing: Framing) -> None:
        self._vc = vc
        self._output = OutputStream(cont, vc)
        self._queued: list[bytes] = []
        self._queued_bytes = 0
        self.blocked = False
        """Whether too much that was flushed is not sent yet: WRITE_READY follows."""
        self.input = InputStream(cont, vc, framing)
        """The server's replies."""

    @property
    def name(self) -> str:
        """The name of the connection."""
        return self._vc.name

    @property
    def full(self) -> bool:
        """Whether to stop queueing until some output has been sent."""
        return self.blocked or self._queued_bytes >= SLAB

    def queue(self, encoded: bytes) -> None:
        """Queue a request for `flush`."""
        self._queued.append(encoded)
        self._queued_bytes += len(encoded)

    def flush(self) -> None:
        """Write the queued requests."""
        queued = self._queued
        if not queued:
            return
        self._queued, self._queued_bytes = [], 0
        output = self._output
        for wire in queued if output.buffer.message_oriented else (b"".join(queued),):
            output.send(wire)
        self.blocked = output.full

    def writable(self) -> None:
        """Note WRITE_READY."""
        self.blocked = self._output.full

    def take_parts(self, split: Callable[[bytes], Iterable[Part]]) -> tuple[list[Part], int]:
        """Return the parts of the replies that have arrived, and how many replies have none.

        A damaged reply is a part with the key DAMAGED. Raises what `split` raises.
        """
        parts: list[Part] = []
        without_parts = 0
        take = self.input.take
        while (reply := take()) is not None:
            if isinstance(reply, Damaged):
                parts.append(Part(DAMAGED, reply.why.encode()))
                continue
            before = len(parts)
            parts.extend(split(reply))
            without_parts += len(parts) == before
        return parts, without_parts

    def end_reason(self) -> str:
        """Return why the input has stopped: see InputStream.stopped."""
        received = self.input
        if received.error is not None:
            return f"{received.vio.name}: {received.error}"
        fault = received.fault
        return fault.value if fault else "the server has closed the connection"

    def close(self) -> None:
        """Drop unsent requests and unread replies, and close the connection."""
        self._output.close()
        self.input.close()
        self._vc.do_io_close()
