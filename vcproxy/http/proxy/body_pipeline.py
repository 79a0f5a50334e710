"""BodyPipeline: decodes the body of a message, passes it through filters, and frames it again.

Tested in tests/http/proxy/test_bodies.py and test_proxied_filters.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from vcproxy.engine.plugin_error import as_error
from vcproxy.http.message.bad_message import BadMessage
from vcproxy.http.message.chunks import ChunkPasser, ChunkScanner
from vcproxy.http.proxy.representation import without_digests

if TYPE_CHECKING:
    from vcproxy.http.message.body import BodyReader, BodyWriter
    from vcproxy.http.message.limits import MessageLimits


def checked_only(limits: MessageLimits, status: int) -> BodyPipeline:
    """Return a pipeline that checks the framing of chunks and forwards them undecoded."""
    return BodyPipeline(ChunkScanner(limits, status), ChunkPasser())


class BodyPipeline:
    """The Transform of a MessageTunnel. Each of `steps` changes a piece; the last piece is b"".

    Nothing is raised. When a body is malformed or too long, or a step raises, `fault` is set and
    the pipeline is over; output returned before may already be sent."""

    __slots__ = ("_left", "_reader", "_steps", "_writer", "fault", "over", "rest")

    def __init__(
        self,
        reader: BodyReader,
        writer: BodyWriter,
        steps: tuple[Callable[[bytes], bytes], ...] = (),
        limit: int = 0,
    ) -> None:
        """`limit`: bytes of the body, 0: no limit."""
        self._reader = reader
        self._writer = writer
        self._steps = steps
        self._left = limit or None
        self.over = False
        self.rest = b""
        """Once `over`: the input that follows the body."""
        self.fault: Exception | None = None

    def feed(self, data: bytes) -> bytes:
        """See Transform."""
        try:
            return self._pass(self._reader.feed(data))
        except BaseException as fault:
            return self._broken(as_error(fault))

    def finish(self) -> bytes:
        """End the input: see Transform."""
        try:
            self._reader.finish()
            return self._pass(b"", ended=True)
        except BaseException as fault:
            return self._broken(as_error(fault))

    def _pass(self, data: bytes, ended: bool = False) -> bytes:
        if self._left is not None:
            self._left -= len(data)
            if self._left < 0:
                raise BadMessage(413, "body longer than its limit", "RFC 9110 15.5.14")
        writer = self._writer
        out = self._framed(data) if data else b""
        if ended or self._reader.over:
            self.over = True
            self.rest = self._reader.rest
            tail = b""
            for step in self._steps:
                tail = (step(tail) if tail else b"") + step(b"")
            if tail:
                out += writer.frame(tail)
            trailers = self._reader.trailers
            out += writer.finish(without_digests(trailers) if self._steps else trailers)
        return out

    def _framed(self, data: bytes) -> bytes:
        for step in self._steps:
            data = step(data)
            if not data:  # held back by the step; the next one would read b"" as the end
                return b""
        return self._writer.frame(data)

    def _broken(self, fault: Exception) -> bytes:
        self.fault = fault
        self.over = True
        return b""
