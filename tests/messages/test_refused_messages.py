"""The messages that framings, validators and message readers refuse are kept for `show errors`."""

from __future__ import annotations

import pytest

from vcproxy.engine.refused_messages import RefusedMessage
from vcproxy.framing.decoding import FramingError
from vcproxy.framing.framing import length_prefix, lines
from vcproxy.machine.state import State
from vcproxy.messages.validator import Validator
from vcproxy.messages.verdict import Accept, Reject, Resend, Verdict
from vcproxy.sessions.message_reader import Message
from vcproxy.sessions.session import Session
from vcproxy.testing.proxy import SimulatedProxy


class Words(Validator):
    framing = lines(limit=10)

    def check(self, message: bytes) -> Verdict:
        if message == b"bad":
            return Reject(b"no\n", keep=True)
        return Resend(b"again\n") if message == b"odd" else Accept()


class Reader(Session):
    framing = length_prefix(2, limit=10)
    needs_upstream = False
    READING = State(initial=True)
    DONE = State(final=True)

    @READING.on(Message)
    def got(self, message: Message) -> None:
        """Take it."""

    @READING.on(FramingError, to=DONE)
    def broken(self, fault: FramingError) -> None:
        """End."""


def kept(plugin: type[Session], *pieces: bytes) -> list[RefusedMessage]:
    """Return what is kept after a client has sent these pieces."""
    servers = ("server",) if plugin.needs_upstream else ()
    with SimulatedProxy(plugin, servers) as proxy:
        client = proxy.client()
        for piece in pieces:
            client.send(piece)
            proxy.elapse(0.1)
        client.reset()
        proxy.elapse(1.0)
        found = list(proxy.engine.refused)
        assert all(each.listener == proxy.service.name for each in found)
        assert all(each.client == proxy.sessions[0].name for each in found)
    return found


@pytest.mark.parametrize(("word", "why"), [(b"bad", "rejected"), (b"odd", "resent")])
def test_a_message_that_a_validator_refuses(word: bytes, why: str) -> None:
    (one,) = kept(Words, b"good\n" + word + b"\ngood\n")
    assert (one.kind, one.piece, one.reason) == ("message", word, f"{why} by Words")


def test_a_message_over_the_limit_of_its_framing() -> None:
    (one,) = kept(Words, b"good\n", b"far too long a message\n")
    assert one.piece == b"far too long a message\n"
    assert one.reason == "message over the size limit"


def test_a_message_over_the_limit_of_a_reader_without_those_before_it() -> None:
    (one,) = kept(Reader, b"\0\2ab\0\1c\x10\0zzz")
    assert one.piece == b"\x10\0zzz"
    assert one.reason == "message over the size limit"


def test_accepted_messages_are_not_kept() -> None:
    assert kept(Words, b"good\ngood\n") == []
