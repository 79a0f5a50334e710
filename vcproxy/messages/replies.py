"""Replies: what a server sends to one client, as it arrives or as whole messages.

Tested in tests/messages/test_validator.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vcproxy.engine.blocks import EMPTY
from vcproxy.engine.vio import VIO, couple
from vcproxy.framing.decoding import Damaged
from vcproxy.sessions.streams import InputStream

if TYPE_CHECKING:
    from vcproxy.engine.continuation import Continuation
    from vcproxy.engine.vconnection import VConnection
    from vcproxy.framing.framing import Framing, FramingError
    from vcproxy.sessions.streams import OutputStream


class Replies:
    """The direction from a server to a client, after the first message was accepted.

    Args:
        cont: gets the events of its VIO.
        answers: the output to the client.
        framing: how the replies are framed; None: they are sent on as they arrive.
        outward: how they are framed for the client.
        drops: whether they are read and dropped.
    """

    __slots__ = (
        "_answers",
        "_cont",
        "_damaged",
        "_drops",
        "_messages",
        "_outward",
        "_vio",
        "pending",
    )

    def __init__(
        self,
        cont: Continuation,
        server: VConnection,
        answers: OutputStream,
        framing: Framing | None,
        outward: Framing,
        *,
        drops: bool = False,
    ) -> None:
        self.pending = 1
        """Accepted messages without a reply, if there is one for each: the first has none yet."""
        self._cont = cont
        self._answers = answers
        self._outward = outward
        self._drops = drops
        self._damaged: ConnectionError | None = None
        self._messages = None if framing is None or drops else InputStream(cont, server, framing)
        self._vio = self._read(server) if self._messages is None else None

    @property
    def vio(self) -> VIO:
        """The read from the server."""
        return self._messages.vio if self._vio is None else self._vio  # type: ignore[union-attr]

    def relay(self, vio: VIO) -> bool:
        """Send what has arrived, while there is room for it; `vio`: which one had an event.

        Returns whether the server has ended, in order or not, and nothing of it is left.
        """
        if self._messages is not None:
            return self._relay_messages(self._messages)
        own = self.vio
        if vio is own and own.over:
            return own.error is None
        if own.partner is None and not (self._drops or self._answers.full):
            couple(own, self._answers.vio)
            own.reenable()
        return False

    def _relay_messages(self, messages: InputStream) -> bool:
        answers = self._answers
        while not answers.full:
            reply = messages.take()
            if reply is None:
                return messages.stopped
            if isinstance(reply, Damaged):
                self._damaged = ConnectionError(f"damaged reply: {reply.why}")
                return True
            self.pending -= self.pending > 0
            answers.send(self._outward.encode(reply) or EMPTY)
        return False

    def read_rest(self) -> bool:
        """After ERROR: read what arrived before the failure. False: all of it has been read."""
        if self._messages is not None:
            return self._messages.read_rest()
        vc = self.vio.vc
        if not vc.unread:
            return False
        self._vio = self._read(vc)
        return True

    def relay_rest(self) -> bool:
        """After `read_rest` returned False: send the rest; return whether nothing is left."""
        return self._messages is None or self._relay_messages(self._messages)

    @property
    def error(self) -> Exception | None:
        """The error of the server's connection, after it has ended, or a damaged reply."""
        if self._damaged is not None:
            return self._damaged
        return self.vio.error if self._messages is None else self._messages.error

    @property
    def fault(self) -> FramingError | None:
        """The framing error that ended the replies; None: they ended after a whole one."""
        return None if self._messages is None else self._messages.fault

    def close(self) -> None:
        """Free the replies that were not sent."""
        if self._messages is not None:
            self._messages.close()

    def _read(self, vc: VConnection) -> VIO:
        if self._drops:
            buffer = vc.engine.buffer(message_oriented=vc.message_oriented)
            return vc.do_io_read(self._cont, None, buffer)  # without a reader: all is dropped
        vio = vc.do_io_read(self._cont, None, self._answers.buffer)
        couple(vio, self._answers.vio)
        return vio
