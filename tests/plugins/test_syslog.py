"""The bundled syslog: messages of many senders go to one log server, checked, with the senders'
addresses."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vcproxy.admission.admission import Admission
from vcproxy.admission.rate import Rate, RateLimits
from vcproxy.drivers.sim import seeds
from vcproxy.plugins.syslog import Syslog
from vcproxy.sessions.line_limit import LINES
from vcproxy.testing import NetworkFaults, SimulatedProxy, fragments
from vcproxy.testing.machines import check_machine

Options = Syslog.Options

HOST = b"<34>1 2003-10-11T22:14:15.003Z host su - - - "
NO_HOST = b"<34>1 - - su - - - "
OLD = b"<34>Oct 11 22:14:15 host su: "
BARE = b"<34>su: "


def counted(*messages: bytes) -> bytes:
    """Messages with octet counts."""
    return b"".join(b"%d %b" % (len(each), each) for each in messages)


def sent_on(options: Options, *messages: bytes) -> bytes:
    """What the server receives for messages of 192.0.2.7."""
    with SimulatedProxy(Syslog, options=options) as proxy:
        client = proxy.client(client_ip="192.0.2.7")
        client.send(counted(*messages))
        client.end()
        proxy.run()
        assert client.ended
        assert not client.reset_seen
        assert client.received == b""
        return b"".join(bytes(peer.received) for peer in proxy.peers())


def test_the_machine_is_sound() -> None:
    assert check_machine(Syslog)


@pytest.mark.parametrize(
    ("options", "message", "forwarded"),
    [
        (Options(), HOST + b"text", HOST + b"text"),
        (Options(), NO_HOST + b"text", b"<34>1 - 192.0.2.7 su - - - text"),
        (Options(), OLD + b"text", OLD + b"text"),
        (Options(), BARE + b"text", b"<34>2026-01-01T00:00:00Z 192.0.2.7 su: text"),
        (Options(), b"<34>Oct 11 22:14:15 su: no", b"<34>Oct 11 22:14:15 192.0.2.7 su: no"),
        (Options(sender="keep"), NO_HOST + b"text", NO_HOST + b"text"),
        (Options(sender="keep"), BARE + b"text", BARE + b"text"),
        (Options(sender="replace"), HOST, HOST.replace(b"host", b"192.0.2.7")),
        (Options(sender="replace"), OLD, OLD.replace(b"host", b"192.0.2.7")),
        (Options(sender="origin"), HOST, HOST.replace(b"- - - ", b'- - [origin ip="192.0.2.7"] ')),
        (Options(sender="origin"), OLD, OLD),
        (Options(sender="origin"), BARE, b"<34>2026-01-01T00:00:00Z 192.0.2.7 su: "),
        (Options(), OLD + b"text\r\n", OLD + b"text"),
        (Options(), OLD + b"text\0", OLD + b"text"),
        (Options(), OLD + b"two\nlines", OLD + b"two\nlines"),
        (Options(largest=480), OLD + b"x" * 500, OLD + b"x" * (480 - len(OLD))),
        (Options(largest=480), NO_HOST + b"x" * 480,
         (b"<34>1 - 192.0.2.7 su - - - " + b"x" * 480)[:480]),
        (Options(), OLD + b"\xff\xfe\x80", OLD + b"\xff\xfe\x80"),
    ],
)  # fmt: skip
def test_a_valid_message_is_forwarded(options: Options, message: bytes, forwarded: bytes) -> None:
    assert sent_on(options, message) == counted(forwarded)


@pytest.mark.parametrize(
    ("options", "message", "why"),
    [
        (Options(), b"text", "priority"),
        (Options(), b"<192>text", "priority"),
        (Options(), b"<034>text", "priority"),
        (Options(), b"GET / HTTP/1.1\r", "priority"),
        (Options(), b"\x16\x03\x01\x02\x00", "priority"),
        (Options(), b"<34>2 - - - - - - text", "version"),
        (Options(), b"<34>1 text", "header"),
        (Options(), HOST[:-2] + b'[a b="1" text', "header"),
        (Options(rfc3164=False), OLD, "version"),
        (Options(longer="refuse", largest=480), OLD + b"x" * 480, "size"),
        (Options(largest=480), HOST[:-2] + b'[a b="' + b"x" * 480 + b'"] text', "size"),
    ],
)
def test_another_one_is_dropped_and_the_next_is_forwarded(
    options: Options, message: bytes, why: str
) -> None:
    with SimulatedProxy(Syslog, options=options) as proxy:
        client = proxy.client()
        client.send(counted(message, HOST) if message[:1].isdigit() else message + b"\n" + HOST)
        client.send(b"\n" if not message[:1].isdigit() else b"")
        server = proxy.server()
        proxy.elapse(1)
        assert server.received == counted(HOST)
        assert proxy.metric("syslog_refused", why=why) == 1
        assert proxy.service.counts == {"rejected": 1, "accepted": 1}
        [line] = proxy.log
        assert "a message is refused: it" in line
        [refused] = proxy.engine.refused
        assert refused.reason.startswith("it")
        client.end()
        proxy.run()
        [record] = proxy.access_log
        assert record["verdicts"] == {"reject": 1, "accept": 1}
        assert record["end"] == "--"


def test_of_a_flood_of_invalid_messages_ten_are_logged_in_a_minute() -> None:
    with SimulatedProxy(Syslog) as proxy:
        for _ in range(150):
            proxy.client().send(b"text\n")
            proxy.elapse(1)
        assert len(proxy.log) == 3 * LINES
        assert proxy.log[LINES].endswith(f"({60 - LINES} such lines were left out)")
        assert proxy.metric("syslog_refused", why="priority") == 150


@pytest.mark.parametrize(("first", "rest"), fragments(counted(HOST + b"1") + OLD + b"2\n"))
def test_both_framings_come_in_on_one_connection_in_pieces(first: bytes, rest: bytes) -> None:
    with SimulatedProxy(Syslog, options=Options(encoding="newline")) as proxy:
        client = proxy.client()
        client.send(first)
        proxy.elapse(1)
        client.send(rest)
        server = proxy.server()
        proxy.elapse(1)
        assert server.received == HOST + b"1\n" + OLD + b"2\n"


@pytest.mark.parametrize(("first", "rest"), fragments(OLD + b"1\0" + OLD + b"2\0\n" + OLD + b"3\n"))
def test_nul_may_end_a_message(first: bytes, rest: bytes) -> None:
    with SimulatedProxy(Syslog, options=Options(nul=True)) as proxy:
        client = proxy.client()
        client.send(first)
        proxy.elapse(1)
        client.send(rest + counted(OLD + b"a\0b"))
        server = proxy.server()
        proxy.elapse(1)
        expected = [OLD + b"1", OLD + b"2", OLD + b"3", OLD + b"a\0b"]
        assert server.received == counted(*expected)


def test_a_newline_inside_a_message_does_not_make_two_of_it() -> None:
    forged = OLD + b"text\n<0>Oct 11 22:14:15 victim kernel: panic"
    assert sent_on(Options(encoding="newline"), forged) == forged.replace(b"\n", b"#012") + b"\n"
    assert sent_on(Options(), forged) == counted(forged)


def test_a_nul_inside_a_message_does_not_make_two_of_it() -> None:
    """syslog-ng's network() takes it for the end of a message."""
    forged = OLD + b"text\0<0>Oct 11 22:14:15 victim kernel: panic"
    assert sent_on(Options(encoding="newline"), forged) == forged.replace(b"\0", b"#000") + b"\n"
    assert sent_on(Options(), forged) == counted(forged)


@pytest.mark.parametrize(
    ("rest", "count"),
    [
        (b"30 " + OLD, "truncated"),  # it ends before its length
        (OLD, "truncated"),  # it ends without a newline
        (b"0 ", "invalid"),
        (b"007 " + OLD, "invalid"),
        (b"12<34>text", "invalid"),
        (b"99999999999 " + OLD, "oversized"),
        (b"65537 " + OLD, "oversized"),
        (b"<" + b"x" * 65_537, "oversized"),
    ],
)
def test_a_length_that_is_not_true_ends_the_input(rest: bytes, count: str) -> None:
    with SimulatedProxy(Syslog) as proxy:
        client = proxy.client()
        client.send(counted(HOST + b"before") + rest[:70_000])
        client.end()
        proxy.run()
        [server] = proxy.peers()
        assert server.received == counted(HOST + b"before")
        assert server.ended
        assert proxy.service.counts == {"accepted": 1, count: 1}
        assert "; no further input is read" in proxy.log[-1]
        assert proxy.access_log[0]["end"] == "VV"


def test_what_follows_a_length_that_is_too_short_is_no_message() -> None:
    with SimulatedProxy(Syslog) as proxy:
        client = proxy.client()
        client.send(b"10 " + BARE + b"text <0>forged\n" + counted(OLD))
        server = proxy.server()
        proxy.elapse(1)
        assert server.received.endswith(b"su: te" + counted(OLD))
        assert b"forged" not in server.received


def test_one_sender_does_not_reach_into_the_messages_of_another() -> None:
    with SimulatedProxy(Syslog) as proxy:
        half, other = proxy.client(), proxy.client()
        half.send(b"100 " + HOST)
        other.send(counted(OLD + b"whole"))
        server = proxy.server()
        proxy.elapse(1)
        half.reset()
        proxy.elapse(1)
        assert server.received == counted(OLD + b"whole")
        assert proxy.connections() == 1
        assert any("connection reset" in line for line in proxy.log)


@pytest.mark.parametrize("server_datagrams", [False, True])
def test_datagrams_are_messages_without_a_framing(server_datagrams: bool) -> None:
    with SimulatedProxy(Syslog, datagrams=True, server_datagrams=server_datagrams) as proxy:
        client = proxy.datagram_client()
        # The second one would have a length, and the third be two messages, if it came on a stream.
        sent = [OLD + b"1", counted(OLD), OLD + b"2\n" + OLD, OLD + b"3\n", b"", NO_HOST + b"4"]
        for data in sent:
            client.send(data)
        proxy.elapse(1)
        filled = b"<34>1 - 10.0.0.1 su - - - 4"
        expected = [OLD + b"1", OLD + b"2\n" + OLD, OLD + b"3", filled]
        if server_datagrams:
            assert proxy.datagram_server().received == expected
        else:
            assert proxy.peers()[0].received == counted(*expected)
        assert client.received == []
        assert proxy.metric("syslog_refused", why="priority") == 2


def test_messages_of_a_stream_become_datagrams() -> None:
    with SimulatedProxy(Syslog, server_datagrams=True) as proxy:
        client = proxy.client()
        client.send(counted(OLD + b"1") + OLD + b"2\n")
        client.end()
        proxy.run()
        assert proxy.datagram_server().received == [OLD + b"1", OLD + b"2"]
        assert client.ended


def test_a_sender_of_datagrams_gives_up_its_connection_when_it_is_silent() -> None:
    with SimulatedProxy(
        Syslog, options=Options(idle=5.0), datagrams=True, server_datagrams=False
    ) as proxy:
        client = proxy.datagram_client()
        client.send(OLD)
        server = proxy.server()
        proxy.elapse(4)
        assert not server.ended
        proxy.elapse(2)
        assert server.ended
        assert not server.reset_seen
        assert proxy.log == []
        client.send(OLD)
        assert proxy.server() is not server


def limit(proxy: SimulatedProxy, requests: int) -> None:
    """Let each sender send so many messages at once, and as many each second."""
    rate = Rate(32, requests, 1.0, requests, f"{requests} per 1s for each client")
    admission = Admission()
    admission.requests = RateLimits([rate])
    admission.datagrams = RateLimits([rate])
    proxy.service = replace(proxy.service, admission=admission)
    for listener in proxy.listeners:
        listener.admission = admission


def test_each_sender_has_a_rate_and_more_is_dropped_and_counted() -> None:
    with SimulatedProxy(Syslog) as proxy:
        limit(proxy, 3)
        many, few = proxy.client(client_ip="192.0.2.1"), proxy.client(client_ip="192.0.2.2")
        many.send(counted(*[OLD + b"%d" % number for number in range(10)]))
        few.send(counted(OLD + b"few"))
        proxy.elapse(0.5)
        received = b"".join(bytes(each.received) for each in proxy.peers())
        assert received.count(b"host su: ") == 4
        assert proxy.metric("syslog_refused", why="rate") == 7
        [line] = proxy.log
        assert "192.0.2.1 is refused: more than 3 per 1s for each client" in line
        proxy.elapse(1)
        many.send(counted(OLD + b"later"))
        proxy.elapse(0.5)
        assert any(bytes(each.received).endswith(b"later") for each in proxy.peers())
        many.end()
        proxy.elapse(1)
        assert proxy.access_log[0]["verdicts"] == {"accept": 4, "reject": 7}


def test_datagrams_are_counted_once_where_they_arrive() -> None:
    with SimulatedProxy(Syslog, datagrams=True) as proxy:
        limit(proxy, 3)
        client = proxy.datagram_client()
        for number in range(10):
            client.send(OLD + b"%d" % number)
        proxy.elapse(0.5)
        assert proxy.datagram_server().received == [OLD + b"%d" % number for number in range(3)]


def test_a_server_that_is_away_ends_the_connection_and_drops_datagrams() -> None:
    with SimulatedProxy(Syslog, refusing=["server"]) as proxy:
        client = proxy.client()
        client.send(counted(OLD))
        proxy.run()
        assert client.ended
        assert proxy.service.counts["unserved"] == 1
        assert "no server is left" in proxy.log[0]
        assert proxy.access_log[0]["end"] == "SC"


def test_a_server_that_resets_resets_its_senders() -> None:
    with SimulatedProxy(Syslog) as proxy:
        client = proxy.client()
        client.send(counted(OLD))
        proxy.server().reset()
        proxy.run()
        assert client.reset_seen
        assert any("tcp://server:1 read: connection reset" in line for line in proxy.log)


def test_a_server_that_ends_ends_its_senders_at_once() -> None:
    """A sender must not go on: what it sends then would be lost."""
    with SimulatedProxy(Syslog) as proxy:
        client = proxy.client()
        client.send(counted(OLD))
        proxy.server().close()
        proxy.elapse(1)
        assert client.ended


@pytest.mark.parametrize("seed", list(seeds(20)))
def test_on_a_bad_network_only_valid_messages_arrive_in_their_order(seed: int) -> None:
    with SimulatedProxy(Syslog, seed=seed, faults=NetworkFaults.all()) as proxy:
        client = proxy.client()
        sent = [OLD + b"%d" % number if number % 3 else b"%d" % number for number in range(60)]
        client.send(counted(*sent))
        client.end()
        proxy.run()
        valid = counted(*[each for each in sent if each.startswith(OLD)])
        for server in proxy.peers():
            assert valid.startswith(bytes(server.received))
