"""Replies: what a server sends to one client, as it arrives or as whole messages.

Tested in tests/messages/test_validator.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vcproxy.engine.blocks import EMPTY
from vcproxy.engine.vio import VIO, couple
from vcproxy.framing.decoding import Damaged
from vcproxy.sessions.streams import InputStream, note_damaged

if TYPE_CHECKING:
    from vcproxy.engine.net import NetVConnection
    from vcproxy.engine.vconnection import VConnection
    from vcproxy.framing.framing import Framing, FramingError
    from vcproxy.messages.validator import Validator


class Replies:
    """The direction from a server to the client of a validator, after its first accepted message.

    `outgoing`: how messages are framed for this server.
    """

    __slots__ = ("_damage", "_messages", "_outward", "_session", "_vio", "pending")

    def __init__(self, session: Validator, server: NetVConnection, outgoing: Framing) -> None:
        self.pending = 1
        """Accepted messages without a reply, if there is one for each: the first has none yet."""
        self._session = session
        self._damage: Damaged | None = None  # the first damaged reply
        mixed = server.message_oriented is not session.client.message_oriented
        framing = session.replies or (outgoing if mixed or session.in_turn else None)
        if framing is not None:
            framing = session.framing_at(server, framing)
        self._outward = framing or session.framing
        if mixed or session.forwarding is not None:
            self._outward = session.framing_at(session.client, session.framing)
        self._messages = (
            None if framing is None or session.one_way else InputStream(session, server, framing)
        )
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
        session = self._session
        if own.partner is None and not (session.one_way or session.answers.full):
            couple(own, session.answers.vio)
            own.reenable()
        return False

    def _relay_messages(self, messages: InputStream) -> bool:
        answers = self._session.answers
        while not answers.full:
            reply = messages.take()
            if reply is None:
                return messages.stopped
            if isinstance(reply, Damaged):
                self._note_damage(reply)
                if self._session.in_turn:  # the client would take the next reply for this one
                    return True
                continue
            self.pending -= self.pending > 0
            answers.send(self._outward.encode(reply) or EMPTY)
        return False

    def _note_damage(self, damaged: Damaged) -> None:
        """Count a damaged reply, which is dropped."""
        session, vc = self._session, self.vio.vc
        session.count("reply_damaged")
        note_damaged(vc, damaged)
        if not session.in_turn:
            session.log_seldom("damaged", f"{vc.name}: damaged reply: {damaged.why}; it is dropped")
        self._damage = self._damage or damaged

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
        if self._damage is not None and self._session.in_turn:
            return ConnectionError(f"damaged reply: {self._damage.why}")
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
        session = self._session
        if session.one_way:
            buffer = vc.engine.buffer(message_oriented=vc.message_oriented)
            return vc.do_io_read(session, None, buffer)  # without a reader: all is dropped
        vio = vc.do_io_read(session, None, session.answers.buffer)
        couple(vio, session.answers.vio)
        return vio
