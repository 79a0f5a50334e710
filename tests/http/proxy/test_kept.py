"""HttpProxy: how long server connections are kept, and requests on a connection that the server
closes at that moment."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from vcproxy.drivers.sim import Peer
from vcproxy.http.filters import Filter, PhaseResult, Wait
from vcproxy.http.proxy.transaction import Transaction
from vcproxy.upstream.settings import PoolSettings, QueueSettings, UpstreamSettings

from .harness import GET, IDLE_S, OK, Http, answer, received, request, status

KEPT = UpstreamSettings(pool=PoolSettings(idle=8))
"""Keeps idle connections for the default time."""

POST = request("POST", "/order", body=b"once")


def served(proxy: Http, *fields: str) -> tuple[Peer, Peer]:
    """A client and a server whose connections have carried one request."""
    client = proxy.send(GET)
    server = proxy.server()
    server.send(answer(b"yes", *fields))
    proxy.go()
    received(client)
    received(server)
    return client, server


# -- how long --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "kept_s"),
    [
        ([], 4.0),
        (["Keep-Alive: timeout=5"], 4.0),
        (["Keep-Alive: timeout=3, max=100"], 2.0),
        (["Connection: keep-alive", "Keep-Alive: timeout=20"], 19.0),
        (["Keep-Alive: 300"], 4.0),
        (["Keep-Alive: timeout=0"], 0.0),
    ],
)
def test_the_keep_alive_timeout_of_the_server_is_respected(
    fields: list[str], kept_s: float
) -> None:
    with Http(terms=KEPT) as proxy:
        _, server = served(proxy, *fields)
        if kept_s:
            proxy.elapse(kept_s - 0.1)
            assert not server.ended
            proxy.elapse(0.2)
        assert server.ended


def test_keep_alive_of_a_server_does_not_reach_clients() -> None:
    with Http(terms=KEPT) as proxy:
        client = proxy.send(GET)
        proxy.server().send(answer(b"yes", "Keep-Alive: timeout=2"))
        proxy.go()
        assert "Keep-Alive" not in received(client)


def test_a_server_that_closes_early_shortens_the_idle_time() -> None:
    """The server closes after 2 s. From then on, requests every 2 s never use a closed
    connection."""
    with Http(terms=KEPT) as proxy:
        client, server = served(proxy)
        proxy.elapse(1.95)
        server.end()
        proxy.go()
        for _ in range(5):
            client.send(POST)
            fresh = proxy.server()
            fresh.send(OK)
            proxy.elapse(1.95)
            assert status(client) == "HTTP/1.1 200 OK"
            assert fresh.ended


# -- an end just as a request goes out -------------------------------------------------------


@pytest.mark.parametrize("end", ["end", "reset"])
def test_a_request_that_may_have_been_processed_is_not_sent_again(end: str) -> None:
    with Http(terms=KEPT) as proxy:
        client, server = served(proxy)
        proxy.elapse(3)
        client.send(POST)
        server.on_data = lambda _: getattr(server, end)()
        proxy.go()
        text = received(client)
        assert text.startswith("HTTP/1.1 502 Bad Gateway\n")
        assert "\nProxy-Status: vcproxy; error=connection_terminated; " in text
        assert proxy.connections() == 1
        [line] = proxy.log
        assert line.endswith(
            " on a connection idle for 3.0 s; not sent again, as the server may have processed it"
        )
        assert "502 for <POST a/order> at tcp://server:1: server: " in line
        assert not client.ended
        client.send(GET)
        proxy.server().send(OK)
        proxy.go()
        assert received(client).endswith("yes")


def test_a_reset_under_a_request_shortens_the_idle_time() -> None:
    with Http(terms=KEPT) as proxy:
        client, server = served(proxy)
        proxy.elapse(3)
        client.send(GET)
        server.on_data = lambda _: server.reset()
        fresh = proxy.server()
        fresh.send(OK)
        proxy.go()
        assert received(client).endswith("yes")
        proxy.elapse(2.3)
        assert not fresh.ended
        proxy.elapse(0.2)
        assert fresh.ended


def test_a_failure_during_a_response_does_not_shorten_the_idle_time() -> None:
    with Http(terms=KEPT) as proxy:
        client, server = served(proxy)
        proxy.elapse(2)
        client.send(POST)
        proxy.elapse(2)
        server.reset()
        proxy.go()
        assert status(client) == "HTTP/1.1 502 Bad Gateway"
        assert "idle" not in proxy.log[-1]
        client.send(GET)
        fresh = proxy.server()
        fresh.send(OK)
        proxy.elapse(3.9)
        assert not fresh.ended


def test_a_request_that_was_never_sent_uses_another_connection() -> None:
    """A POST is sent again too: the server ended before any byte of the request was sent."""

    class Slow(Filter):
        def server_chosen(self, tx: Transaction) -> PhaseResult:
            return Wait("1s") if tx.request.method == "POST" else None

    with Http(terms=KEPT, filters=[Slow]) as proxy:
        client, server = served(proxy)
        client.send(POST)
        proxy.elapse(0.5)
        server.end()
        proxy.elapse(2)
        fresh = proxy.server()
        fresh.send(OK)
        proxy.go()
        assert received(fresh).endswith("once")
        assert received(client).endswith("yes")


# -- who waits for a connection that another one uses ----------------------------------------


ONE = UpstreamSettings(
    max_connections=1, pool=PoolSettings(idle=8, idle_time=IDLE_S), queue=QueueSettings(timeout=2.0)
)


def reply(server: Peer) -> Callable[[bytes], None]:
    """Have a server answer everything it receives."""
    return lambda _: server.send(OK)


def test_a_full_upstream_keeps_its_connections() -> None:
    count, rounds = 20, 10
    with Http(terms=ONE) as proxy:
        clients = [proxy.send(*[GET] * rounds) for _ in range(count)]
        server = proxy.server()
        server.on_data = reply(server)
        proxy.elapse(1)
        for client in clients:
            assert received(client).count("HTTP/1.1 200 OK") == rounds
        assert proxy.connections() == 1


def test_the_end_of_a_connection_from_the_queue_is_no_failure() -> None:
    """The connection has served before: idempotent requests are sent again."""
    with Http(terms=ONE) as proxy:
        proxy.send(GET)
        server = proxy.server()
        waiter = proxy.send(GET)
        proxy.go()
        server.send(OK)
        server.on_data = lambda _: server.reset()
        proxy.server().send(OK)
        proxy.go()
        assert received(waiter).endswith("yes")


@pytest.mark.parametrize("end", ["end", "reset"])
def test_a_connection_that_ends_as_it_goes_to_a_waiting_request(end: str) -> None:
    for seed in range(12):
        with Http(terms=ONE, seed=seed) as proxy:
            first = proxy.send(GET)
            server = proxy.server()
            waiter = proxy.send(GET)
            proxy.go()
            server.send(OK)
            for _ in range(seed):
                proxy.sim.step()
            getattr(server, end)()
            proxy.go()
            if proxy.connections() == 2:
                proxy.peers()[1].send(OK)
                proxy.go()
            assert status(waiter) == "HTTP/1.1 200 OK"
            if first.received:
                assert status(first).endswith(("200 OK", "502 Bad Gateway"))


def test_a_client_that_leaves_the_queue_frees_the_connection() -> None:
    for seed in range(12):
        with Http(terms=ONE, seed=seed) as proxy:
            proxy.send(GET)
            server = proxy.server()
            leaver, waiter = proxy.send(POST), proxy.send(GET)
            proxy.go()
            server.on_data = reply(server)
            server.send(OK)
            for _ in range(seed):
                proxy.sim.step()
            leaver.reset()
            proxy.elapse(1)
            for peer in proxy.peers()[1:]:
                peer.send(OK)
            proxy.go()
            assert received(waiter).endswith("yes")
