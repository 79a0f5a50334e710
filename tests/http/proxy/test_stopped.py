"""HttpProxy after a pause of its process: input is read before a deadline closes a client.

While a process is stopped by SIGSTOP, or a laptop sleeps, clients and servers continue, and timers
become due.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from vcproxy.http.proxy.options import HttpTimeouts

from .harness import GET, OK, PLAIN, Http, status

CLIENTS = 50
TIMES = replace(PLAIN, timeouts=HttpTimeouts(head=3.0, first_byte=3.0, idle=3.0))


@pytest.mark.parametrize("stopped_s", [3.2, 4.0, 3600.0])
def test_idle_clients_whose_next_request_waits_in_the_socket(stopped_s: float) -> None:
    with Http(options=TIMES) as proxy:
        clients = [proxy.send(GET) for _ in range(CLIENTS)]
        for _ in clients:
            proxy.server().send(OK)
        proxy.go()
        assert {status(client) for client in clients} == {"HTTP/1.1 200 OK"}
        proxy.elapse(2)
        proxy.sim.suspend(stopped_s)
        for client in clients:
            client.send(GET)
        for server in proxy.peers():
            server.received.clear()
        proxy.elapse(stopped_s + 0.5)
        busy = [server for server in proxy.peers() if server.received]
        assert len(busy) == CLIENTS
        for server in busy:
            server.send(OK)
        proxy.go()
        assert {status(client) for client in clients} == {"HTTP/1.1 200 OK"}


def test_heads_whose_rest_waits_in_the_socket() -> None:
    with Http(options=TIMES) as proxy:
        clients = [proxy.send(GET[:5]) for _ in range(CLIENTS)]
        proxy.elapse(1)
        proxy.sim.suspend(4)
        for client in clients:
            client.send(GET[5:])
        proxy.elapse(4.5)
        for _ in clients:
            proxy.server().send(OK)
        proxy.go()
        assert {status(client) for client in clients} == {"HTTP/1.1 200 OK"}


def test_answers_that_wait_in_the_socket() -> None:
    with Http(options=TIMES) as proxy:
        clients = [proxy.send(GET) for _ in range(CLIENTS)]
        servers = [proxy.server() for _ in clients]
        proxy.elapse(1)
        proxy.sim.suspend(4)
        for server in servers:
            server.send(OK)
        proxy.elapse(4.5)
        assert {status(client) for client in clients} == {"HTTP/1.1 200 OK"}


def test_deadlines_apply_to_peers_that_stay_silent() -> None:
    with Http(options=TIMES) as proxy:
        idle = proxy.send(GET)
        proxy.server().send(OK)
        late = proxy.send(GET[:5])
        proxy.elapse(1)
        proxy.sim.suspend(60)
        proxy.elapse(60.9)
        assert not idle.ended
        assert not late.ended
        proxy.elapse(1.2)
        assert idle.ended
        assert status(late) == "HTTP/1.1 408 Request Timeout"
        assert any("was delayed for" in line for line in proxy.log)
