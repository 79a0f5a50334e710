"""HTTP clients that subscribe at a relay: their requests, the stream, the end."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from tests.relay.test_joining import END, Asked, asks
from tests.relay.test_relay import RelayProxy, relay
from vcproxy.drivers.sim import NetworkFaults, Peer, seeds
from vcproxy.engine.address import Address
from vcproxy.relay.http_subscription import LIMITS
from vcproxy.testing.script import fragments
from vcproxy.tunnels.history import History

WEB = Address("tcp", "web", 80)
GET = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"
HEAD = (
    b"HTTP/1.1 200 OK\r\n"
    b"Content-Type: application/octet-stream\r\n"
    b"Accept-Ranges: none\r\n"
    b"Cache-Control: no-store\r\n"
    b"Connection: close\r\n\r\n"
)


@contextmanager
def web_relay(**options: Any) -> Iterator[RelayProxy]:
    """A relay with subscribers of both kinds."""
    with relay(http_subscribers=(WEB,), **options) as proxy:
        yield proxy


def request(proxy: RelayProxy, *pieces: bytes) -> Peer:
    """Connect an HTTP client that sends this."""
    client = proxy.client("http_subscribers")
    proxy.settle()
    for data in pieces:
        proxy.send(client, data)
    return client


def received(client: Peer) -> bytes:
    """Return what a client received, without the Date: the simulated time of day."""
    return re.sub(rb"\r\nDate: \w{3}, [\w :]{20} GMT\r\n", b"\r\n", bytes(client.received))


def test_a_get_is_answered_with_the_stream() -> None:
    with web_relay() as proxy:
        [plain] = proxy.subscribe()
        first = request(proxy, GET)
        assert received(first) == HEAD, "the head is sent before there is any message"
        producer = proxy.produce(b"one\ntw")
        second = request(proxy, GET)
        proxy.send(producer, b"o\n")
        assert plain.received == b"one\ntwo\n"
        assert received(first) == HEAD + b"one\ntwo\n"
        assert received(second) == HEAD + b"two\n", "it begins with a whole message"
        assert [sink.name for sink in proxy.sinks] == [
            "proxy.subscribers 10.0.0.1:40001",
            "proxy.http_subscribers 10.0.0.1:40002",
            "proxy.http_subscribers 10.0.0.1:40004",
        ]


@pytest.mark.parametrize(("first", "rest"), fragments(GET))
def test_a_request_may_arrive_in_pieces(first: bytes, rest: bytes) -> None:
    with web_relay() as proxy:
        client = request(proxy, first, rest)
        proxy.produce(b"one\n")
        assert received(client) == HEAD + b"one\n"


def test_the_history_follows_the_head() -> None:
    with web_relay(history=History(messages=2)) as proxy:
        proxy.produce(b"one\ntwo\nthree\n")
        assert received(request(proxy, GET)) == HEAD + b"two\nthree\n"


def test_what_follows_the_request_is_dropped() -> None:
    with web_relay() as proxy:
        client = request(proxy, GET + GET, b"more")
        proxy.produce(b"one\n")
        assert received(client) == HEAD + b"one\n"


def test_the_path_and_the_type_are_options() -> None:
    with web_relay(http_path="/live.ts", content_type="video/mp2t") as proxy:
        found = request(proxy, b"GET /live.ts?session=1 HTTP/1.0\r\n\r\n")
        assert b"\r\nContent-Type: video/mp2t\r\n" in received(found)
        other = request(proxy, GET)
        assert received(other).startswith(b"HTTP/1.1 404 Not Found\r\n")
        assert received(other).endswith(b"\r\n\r\nthe stream is at /live.ts\n")
        other.close()


def test_head_is_answered_without_the_stream() -> None:
    with web_relay() as proxy:
        client = request(proxy, GET.replace(b"GET", b"HEAD"))
        proxy.produce(b"one\n")
        assert received(client) == HEAD
        assert client.ended
        assert not proxy.sinks
        client.close()


@pytest.mark.parametrize(
    ("sent", "status", "why"),
    [
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx", 405, "only GET and HEAD"),
        (b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n", 404, "the stream is at /"),
        (b"GET / HTTP/1.1\r\n\r\n", 400, "no Host"),
        (b"nonsense\r\n\r\n", 400, ""),
        (b"GET / HTTP/1.1\r\nx: " + LIMITS.head * b"x", 431, "head longer than 8192 bytes"),
        (b"\x16\x03\x01\x02\x00\r\n\r\n", 400, ""),
    ],
)
def test_other_requests_are_refused(sent: bytes, status: int, why: str) -> None:
    with web_relay() as proxy:
        client = request(proxy, sent)
        proxy.produce(b"one\n")
        head, _, body = received(client).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 %d " % status)
        assert why in body.decode()
        assert client.ended
        line = "proxy.http_subscribers 10.0.0.1:40001: subscriber rejected by Relay"
        assert f"{line}: {status}: {why}" in proxy.log[0]
        client.close()
        proxy.settle()
        assert not proxy.sinks


@pytest.mark.parametrize("end", [b"\r\n", LIMITS.head * b"x"])
def test_credentials_of_refused_requests_are_not_kept(end: bytes) -> None:
    with web_relay() as proxy:
        request(proxy, b"GET /x HTTP/1.1\r\nHost: a\r\nCookie: abc\r\n" + end).close()
        proxy.settle()
        [kept] = proxy.engine.refused
        assert "Cookie: ***" in kept.text


@pytest.mark.parametrize("sent", [b"", GET[:-1]])
def test_without_a_whole_request_a_client_is_closed(sent: bytes) -> None:
    with web_relay() as proxy:
        client = request(proxy, sent)
        proxy.elapse(11)
        assert client.reset_seen
        assert "subscriber closed before it joined" in proxy.log[-1]


def test_a_relay_that_asks_subscribers_answers_http_too() -> None:
    with relay(Asked, http_subscribers=(WEB,)) as proxy:
        plain, web = asks(proxy, b"GET /" + END), request(proxy, GET)
        proxy.produce(b"one\n")
        assert plain.received == b"welcome\none\n"
        assert received(web) == HEAD + b"one\n"


@pytest.mark.parametrize("how", ["close", "end", "reset"])
@pytest.mark.parametrize("sent", [b"", GET[:-1], GET])
def test_a_client_that_ends_is_removed(how: str, sent: bytes) -> None:
    with web_relay() as proxy:
        client = request(proxy, sent)
        getattr(client, how)()
        proxy.settle()
        assert not proxy.sinks
        assert len(proxy.engine.vcs) == 0


def test_the_end_of_the_process_closes_clients_without_a_request() -> None:
    with web_relay() as proxy:
        silent, subscribed = request(proxy), request(proxy, GET)
        proxy.produce(b"one\n")
        proxy.end()
        assert silent.ended
        assert received(subscribed) == HEAD + b"one\n"
        assert subscribed.ended


def test_a_relay_that_is_stopped_closes_its_clients() -> None:
    with web_relay(end=False) as proxy:
        clients = [request(proxy), request(proxy, GET)]
        with proxy.relay.mutex.hold(proxy.engine):
            proxy.relay.stop()
        proxy.elapse(60)
        assert all(client.ended for client in clients)
        proxy.at_rest()


@pytest.mark.parametrize("seed", list(seeds(50)))
def test_the_pace_of_the_network_changes_nothing(seed: int) -> None:
    faults = replace(NetworkFaults.all(), reset=0.0, refuse=0.0, accept_error=0.0)
    with relay(http_subscribers=(WEB,), seed=seed, faults=faults, end=False) as proxy:
        client, producer = proxy.client("http_subscribers"), proxy.client()
        client.send(GET)
        proxy.sim.run(until=lambda: bool(proxy.sinks))
        producer.send(b"one\ntwo\n")
        proxy.elapse(30)
        assert received(client) == HEAD + b"one\ntwo\n"
