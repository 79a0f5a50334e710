"""Validators and damaged messages: those whose check, by the framing, fails."""

from __future__ import annotations

import pytest

from vcproxy.engine.sources.datagrams import HostPort
from vcproxy.framing.framing import lines, netstring
from vcproxy.framing.nmea import nmea
from vcproxy.messages.validator import Validator
from vcproxy.messages.verdict import Accept, Reject, Resend, Verdict
from vcproxy.sessions.line_limit import LINES
from vcproxy.testing.proxy import SimulatedProxy

GOOD = b"$GPGLL,1*4D\r\n"
ALSO = b"$GPGLL,2*4E\r\n"
BAD = b"$GPGLL,1*4C\r\n"
WHY = "its checksum is '4C', and must be '4D'"


class Strict(Validator):
    """Reads a client no further after a damaged sentence."""

    framing = nmea()
    datagrams = True

    def check(self, message: bytes) -> Verdict:
        return Accept()


class Lenient(Strict):
    """Answers a damaged sentence with the reason."""

    def damaged(self, message: bytes, why: str) -> Reject | Resend:
        return Resend(b"%b: %b\n" % (message, why.encode()))


class Ordered(Lenient):
    in_turn = True


class Careless(Strict):
    def damaged(self, message: bytes, why: str) -> Reject | Resend:
        return Accept()  # type: ignore[return-value]


def test_by_default_the_client_is_not_read_any_more() -> None:
    with SimulatedProxy(Strict) as proxy:
        client = proxy.client()
        client.send(GOOD + BAD + ALSO)
        server = proxy.server()
        proxy.elapse(1)
        assert server.received == GOOD
        assert server.ended
        server.close()
        proxy.run()
        assert client.ended
        assert not client.reset_seen
        assert proxy.service.counts == {"accepted": 1, "damaged": 1, "rejected": 1}
        assert proxy.log[0].endswith(f"damaged message: {WHY}; it is not forwarded")
        [record] = proxy.access_log
        assert (record["end"], record["reason"]) == ("VV", f"damaged message: {WHY}")
        assert record["verdicts"] == {"accept": 1, "reject": 1}
        [refused] = proxy.engine.refused
        assert refused.reason == f"damaged message: {WHY}"


def test_without_a_whole_message_no_server_is_connected() -> None:
    with SimulatedProxy(Strict) as proxy:
        client = proxy.client()
        client.send(BAD)
        proxy.run()
        assert client.ended
        assert proxy.connections() == 0


def test_an_author_may_answer_and_read_on_and_ten_lines_are_logged() -> None:
    with SimulatedProxy(Lenient) as proxy:
        client = proxy.client()
        client.send(BAD * 100 + GOOD)
        server = proxy.server()
        proxy.elapse(1)
        assert server.received == GOOD
        assert client.received == b"$GPGLL,1*4C: %b\n" % WHY.encode() * 100
        assert proxy.service.counts == {"accepted": 1, "damaged": 100, "resent": 100}
        assert len(proxy.log) == LINES


def test_in_turn_the_answer_waits_for_earlier_replies() -> None:
    with SimulatedProxy(Ordered) as proxy:
        client = proxy.client()
        client.send(GOOD + BAD)
        server = proxy.server()
        proxy.elapse(1)
        assert client.received == b""
        server.send(ALSO)
        proxy.elapse(1)
        assert client.received.startswith(ALSO + b"$GPGLL,1*4C: its checksum")


def test_a_damaged_message_cannot_be_accepted() -> None:
    with SimulatedProxy(Careless) as proxy:
        client = proxy.client()
        client.send(BAD)
        with pytest.raises(TypeError, match="it must be Reject or Resend"):
            proxy.run()
        assert proxy.connections() == 0


def test_a_damaged_reply_is_dropped_and_counted() -> None:
    class Checked(Strict):
        replies = nmea()

    with SimulatedProxy(Checked) as proxy:
        client = proxy.client()
        client.send(GOOD)
        server = proxy.server()
        server.send(BAD + ALSO + BAD)
        proxy.elapse(1)
        assert client.received == ALSO
        assert proxy.service.counts == {"accepted": 1, "reply_damaged": 2}
        line = f"tcp://server:1: damaged reply: {WHY}; it is dropped"
        assert [each.endswith(line) for each in proxy.log] == [True, True]
        assert [each.server for each in proxy.engine.refused] == ["tcp://server:1"] * 2


def test_in_turn_a_damaged_reply_resets_the_client() -> None:
    """It would take the next reply for this one."""
    with SimulatedProxy(Ordered) as proxy:
        client = proxy.client()
        client.send(GOOD + ALSO)
        server = proxy.server()
        proxy.elapse(1)
        server.send(BAD + ALSO)
        proxy.run()
        assert client.received == b""
        assert client.reset_seen
        assert f"damaged reply: {WHY}" in proxy.log[-1]


# -- datagrams ----------------------------------------------------------------------------------


def test_a_datagram_may_have_several_messages() -> None:
    with SimulatedProxy(Lenient, datagrams=True) as proxy:
        server, client = proxy.datagram_server(), proxy.datagram_client()
        for data in (GOOD + ALSO, b"", GOOD + BAD + ALSO, b"\r\n", ALSO):
            client.send(data)
        proxy.elapse(1)
        assert server.received == [GOOD, ALSO, GOOD, ALSO, ALSO]
        assert client.received == [b"$GPGLL,1*4C: %b\n" % WHY.encode()]


@pytest.mark.parametrize("server_datagrams", [False, True])
def test_a_datagram_that_ends_inside_a_message_is_refused_as_a_whole(
    server_datagrams: bool,
) -> None:
    class Netstrings(Strict):
        framing = netstring()

    with SimulatedProxy(Netstrings, datagrams=True, server_datagrams=server_datagrams) as proxy:
        client = proxy.datagram_client()
        for data in (b"3:one,", b"3:two,5:th", b"ree,", b"4:four,"):
            client.send(data)
        proxy.elapse(1)
        if server_datagrams:
            assert proxy.datagram_server().received == [b"3:one,", b"4:four,"]
        else:
            assert proxy.peers()[0].received == b"3:one,4:four,"
        assert proxy.service.counts == {"accepted": 2, "damaged": 2, "rejected": 2}
        assert [each.reason for each in proxy.engine.refused] == [
            "damaged message: the datagram ends inside a message",
            "damaged message: invalid framing: no message can begin with these bytes",
        ]


def test_a_datagram_over_the_limit_is_refused_and_the_next_one_is_not() -> None:
    class Short(Strict):
        framing = lines(limit=5)

    with SimulatedProxy(Short, datagrams=True) as proxy:
        server, client = proxy.datagram_server(), proxy.datagram_client()
        for data in (b"1\n", b"123456\n", b"2\n3\n"):
            client.send(data)
        proxy.elapse(1)
        assert server.received == [b"1\n", b"2\n", b"3\n"]
        [refused] = proxy.engine.refused
        assert refused.reason == "damaged message: message over the size limit"


def test_replies_of_datagrams_have_whole_messages_too() -> None:
    with SimulatedProxy(Lenient, server_datagrams=True) as proxy:
        client, server = proxy.client(), proxy.datagram_server()

        def answer(_: bytes, source: HostPort) -> None:
            for data in (GOOD + ALSO, GOOD[:4], BAD, ALSO):
                server.send(data, source)

        server.on_datagram = answer
        client.send(GOOD)
        proxy.elapse(1)
        assert client.received == GOOD + ALSO + ALSO
        assert proxy.service.counts == {"accepted": 1, "reply_damaged": 2}
