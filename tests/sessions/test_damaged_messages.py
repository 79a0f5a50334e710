"""Damaged messages of a session that reads messages: counted, dropped or delivered, never lent."""

from __future__ import annotations

import pytest

from vcproxy.framing.decoding import Damaged
from vcproxy.framing.framing import UNFRAMED, Framing
from vcproxy.framing.nmea import nmea
from vcproxy.framing.postgresql import postgresql
from vcproxy.machine.state import State
from vcproxy.sessions.message_reader import Message
from vcproxy.sessions.session import Session
from vcproxy.testing.proxy import SimulatedProxy
from vcproxy.tunnels.done import TunnelDone
from vcproxy.tunnels.two_way import TwoWayTunnel

GOOD, BAD = b"$GPGLL,1*4D", b"$GPGLL,1*64"


class Answering(Session):
    """Answers each sentence."""

    needs_upstream = False
    datagrams = True
    framing: Framing = nmea()

    READING = State(initial=True)
    DONE = State(final=True)
    READING.goes("never", DONE)

    @READING.on(Message)
    def repeat(self, message: Message) -> None:
        self.answer(b"got " + message.data + b"\n")


class Complaining(Session):
    """Receives damaged sentences too."""

    needs_upstream = False
    framing = nmea()

    READING = State(initial=True)
    DONE = State(final=True)
    READING.goes("never", DONE)

    @READING.on(Message)
    def repeat(self, message: Message) -> None:
        self.answer(b"got " + message.data + b"\n")

    @READING.on(Damaged)
    def complain(self, damaged: Damaged) -> None:
        self.answer(b"huh: " + damaged.why.encode() + b"\n")


class Whole(Answering):
    """Its datagrams are messages, whatever they contain."""

    datagram_framing = UNFRAMED


class Lending(Session):
    """Lends the client after the second message."""

    framing = postgresql("client")

    ASKING = State(initial=True)
    RELAYING, DONE = State(), State(final=True)

    @ASKING.on(Message, to=(RELAYING,))
    def asked(self, message: Message) -> State | None:
        if message.data[:1] == b"\0":
            return None
        self.lend(TwoWayTunnel)
        return self.RELAYING

    RELAYING.goes(TunnelDone, DONE)


def test_a_damaged_message_is_counted_logged_and_dropped() -> None:
    with SimulatedProxy(Answering) as proxy:
        client = proxy.client()
        client.send(GOOD + b"\r\n" + BAD + b"\r\n" + GOOD + b"\n")
        proxy.run()
        assert client.received == b"got " + GOOD + b"\ngot " + GOOD + b"\n"
        assert proxy.service.counts["damaged"] == 1
        [line] = proxy.log
        assert line.endswith("a damaged message is dropped: its checksum is '64', and must be '4D'")
        [refused] = proxy.engine.refused
        assert refused.reason == "damaged message: its checksum is '64', and must be '4D'"
        assert refused.piece == BAD


def test_a_session_may_receive_damaged_messages() -> None:
    with SimulatedProxy(Complaining) as proxy:
        client = proxy.client()
        client.send(BAD + b"\r\n" + GOOD + b"\r\n")
        proxy.run()
        assert client.received == (
            b"huh: its checksum is '64', and must be '4D'\ngot " + GOOD + b"\n"
        )
        assert proxy.log == []


def test_a_message_over_the_limit_ends_the_input_because_it_cannot_be_kept() -> None:
    class Short(Answering):
        framing = nmea(limit=20)

    with SimulatedProxy(Short) as proxy:
        client = proxy.client()
        client.send(GOOD + b"\r\n" + b"$" * 1000)
        proxy.run()
        assert client.received == b"got " + GOOD + b"\n"
        assert client.ended
        assert proxy.service.counts["oversized"] == 1


def test_each_datagram_has_whole_messages() -> None:
    """The framing of a class is also used inside of datagrams."""
    with SimulatedProxy(Answering, servers=(), datagrams=True, inactivity_s=9.0) as proxy:
        client = proxy.datagram_client()
        for datagram in (GOOD + b"\r\n" + GOOD + b"\r\n", BAD + b"\r\n", GOOD):
            client.send(datagram)
        proxy.run()
        assert client.received == [b"got " + GOOD + b"\n"] * 3
        assert proxy.service.counts["damaged"] == 1


def test_an_empty_datagram_does_not_stop_those_behind_it() -> None:
    with SimulatedProxy(Answering, [], datagrams=True) as proxy:
        client = proxy.datagram_client()
        for data in (GOOD, b"", b"", GOOD, b"", GOOD):
            client.send(data)
        proxy.elapse(1)
        assert client.received == [b"got " + GOOD + b"\n"] * 3


def test_a_datagram_may_be_one_message() -> None:
    with SimulatedProxy(Whole, servers=(), datagrams=True, inactivity_s=9.0) as proxy:
        client = proxy.datagram_client()
        for datagram in (BAD + b"\r\n", b""):
            client.send(datagram)
        proxy.run()
        assert client.received == [b"got " + BAD + b"\r\n\n", b"got \n"]


@pytest.mark.parametrize("cut", range(1, 40, 3))
def test_bytes_after_the_last_message_go_to_the_tunnel(cut: int) -> None:
    """Also where a decoder cannot begin in the middle of a stream."""
    startup, query = b"\0\0\0\x0e\0\3\0\0user\0\0", b"Q\0\0\0\x0dSELECT 1\0"
    stream = startup + query + b"X\0\0\0\4" + b"\0rest"
    with SimulatedProxy(Lending) as proxy:
        client = proxy.client()
        client.send(stream[:cut])
        proxy.run()
        client.send(stream[cut:])
        server = proxy.server()
        proxy.run()
        assert server.received == stream[len(startup) + len(query) :]
