"""HTTP clients and servers that fail: each failure affects its own request only."""

from __future__ import annotations

import os
import re
import select
import socket
import time
from collections import Counter
from contextlib import ExitStack
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.e2e.conftest import Starter, Tools
from tests.e2e.running import (
    PATIENCE_S,
    PIECE,
    Running,
    Server,
    all_of,
    eventually,
    exactly,
    refusing,
    reset,
)
from tests.e2e.web import GET, Echo, Received, origin, web

LAST = GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")


def status(running: Running, request: bytes = LAST) -> int:
    """Return the status of the response on a new connection."""
    with running.connect("in") as client:
        client.sendall(request)
        return int(all_of(client).split()[1])


def head_of(sock: socket.socket) -> bytes:
    """Receive a request that has no body."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        piece = sock.recv(1 << 16)
        assert piece, f"it ended after {head!r}"
        head += piece
    return head


# -- clients -------------------------------------------------------------------------------------


def test_slow_heads_are_closed_at_the_limit_while_others_are_served(proxy: Starter) -> None:
    count = 50
    with origin() as server, ExitStack() as stack:
        running = proxy(web(server.uri, options='timeouts = { head = "500ms" }'))
        slow = [stack.enter_context(running.connect("in")) for _ in range(count)]
        began = time.monotonic()
        waiting, answers = set(slow), Counter[bytes]()
        while waiting:
            assert time.monotonic() - began < 5
            assert status(running) == 200  # also limits how fast the other clients connect
            for client in waiting:
                client.sendall(b"G")
            for client in select.select(list(waiting), [], [], 0)[0]:
                waiting.discard(client)
                answers[client.recv(1 << 16)[:12]] += 1
        assert time.monotonic() - began > 0.4
    assert answers == {b"HTTP/1.1 408": count}


def test_clients_that_break_off_leave_nothing_behind(proxy: Starter) -> None:
    """Half of them reset inside a request body, the others inside a response body."""
    with Server() as server:
        running = proxy(web(server.uri))
        for number in range(40):
            with running.connect("in") as client:
                if number % 2:
                    client.sendall(GET)
                else:
                    client.sendall(
                        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n" + b"x" * 500
                    )
                with server.next() as accepted:
                    if number % 2:
                        head_of(accepted)
                        accepted.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\n")
                        accepted.sendall(b"y" * 500)
                        client.recv(100)
                    else:
                        while not accepted.recv(1 << 16).endswith(b"x"):
                            pass
                    reset(client)
                    began = time.monotonic()
                    with pytest.raises(ConnectionResetError):
                        all_of(accepted)  # the next client gets a new connection
                    assert time.monotonic() - began < 5
        eventually(lambda: running.descriptors() == running.idle_descriptors, "all is closed")


def test_a_half_closed_client_still_gets_its_response(proxy: Starter) -> None:
    with origin() as server, ExitStack() as stack:
        running = proxy(web(server.uri))
        clients = [stack.enter_context(running.connect("in")) for _ in range(50)]
        for client in clients:
            client.sendall(GET)
            client.shutdown(socket.SHUT_WR)
        for client in clients:
            assert all_of(client).startswith(b"HTTP/1.1 200 ")


def test_silent_clients_are_closed_and_cost_nothing(proxy: Starter) -> None:
    """Half of them never send anything, the others send nothing after a response."""
    with origin() as server, ExitStack() as stack:
        running = proxy(web(server.uri, options='timeouts = { idle = "600ms" }'))
        clients = [stack.enter_context(running.connect("in")) for _ in range(50)]
        for client in clients[::2]:
            client.sendall(GET)
            client.recv(1 << 16)
        spent = cpu_s(running)
        for client in clients:
            assert all_of(client) == b""
        assert cpu_s(running) - spent < 0.3


def cpu_s(running: Running) -> float:
    """Return the CPU seconds that the program has used."""
    fields = Path(f"/proc/{running.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# -- servers -------------------------------------------------------------------------------------


def test_servers_that_cannot_be_reached(proxy: Starter) -> None:
    """One refuses, one does not accept the connection, one accepts it and is silent."""
    with origin() as good, Server(backlog=0) as hole, Server() as silent, ExitStack() as stack:
        for _ in range(2):  # the server's backlog is full: the kernel drops further SYNs
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(hole.getsockname())
        upstreams = {"refuses": refusing(), "hole": hole.uri, "silent": silent.uri}
        options = 'timeouts = { first_byte = "400ms" }\n' + "".join(
            f'[[listener.options.routes]]\npath = "/{name}"\nupstream = "{name}"\n'
            for name in upstreams
        )
        running = proxy(
            web(
                good.uri,
                listener='timeouts = { connect = "400ms" }',
                options=options + "[[listener.options.routes]]\n",
            )
            + "".join(
                f'[upstream.{name}]\nservers = ["{uri}"]\n' for name, uri in upstreams.items()
            )
        )
        stuck = [stack.enter_context(running.connect("in")) for _ in range(20)]
        for number, client in enumerate(stuck):
            client.sendall(LAST.replace(b" / ", b" /hole " if number % 2 else b" /silent "))
        began = time.monotonic()
        for _ in range(10):
            assert status(running) == 200
            assert status(running, LAST.replace(b" / ", b" /refuses ")) == 502
        for client in stuck:
            answer = all_of(client)
            assert answer.startswith(b"HTTP/1.1 504 ")
            assert b"\r\nProxy-Status: vcproxy; error=" in answer
        assert 0.3 < time.monotonic() - began < 5


def test_reasons_why_a_server_cannot_be_reached(proxy: Starter) -> None:
    """The log has the system's error: TCP has no route to 255.255.255.255, so no packet is sent."""
    kinds = {
        "connection_refused": refusing(),
        "destination_ip_unroutable": "tcp://255.255.255.255:80",
        "dns_error": "tcp://nobody.invalid:80",
        "tls_protocol_error": "",
    }
    with Server() as plain:
        kinds["tls_protocol_error"] = plain.uri.replace("tcp://127.0.0.1", "tls://localhost")
        routes = "".join(
            f'[[listener.options.routes]]\npath = "/{name}"\nupstream = "{name}"\n'
            for name in kinds
        )
        upstreams = "".join(
            f'[upstream.{name}]\nservers = ["{uri}"]\n' for name, uri in kinds.items()
        )
        running = proxy(web(refusing(), options=routes) + upstreams)
        for name in kinds:
            with running.connect("in") as client:
                client.sendall(LAST.replace(b" / ", f" /{name} ".encode()))
                if name == "tls_protocol_error":
                    with plain.next() as accepted:
                        accepted.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                        answer = all_of(client)
                else:
                    answer = all_of(client)
                assert answer.startswith(b"HTTP/1.1 502 ")
                assert f"\r\nProxy-Status: vcproxy; error={name}; ".encode() in answer


UNKEPT = "pool = { idle = 0 }"


def test_a_listener_that_is_its_own_server_is_detected(proxy: Starter) -> None:
    here = refusing()
    running = proxy(web(here, bind=here, upstream=UNKEPT))
    with running.connect("in") as client:
        client.sendall(LAST)
        answer = all_of(client)
    assert answer.startswith(b"HTTP/1.1 502 ")
    assert b"\r\nProxy-Status: vcproxy; error=proxy_loop_detected; " in answer
    running.wait_for("a server forwards to this proxy")
    running.stop()
    assert running.log.count("a server forwards to this proxy") == 1


def test_one_listener_behind_another_of_the_same_name_in_via_is_no_loop(proxy: Starter) -> None:
    inner = refusing()
    with origin() as server:
        running = proxy(
            web(inner, upstream=UNKEPT)
            + web(server.uri, bind=inner).replace('"in"', '"inner"').replace("out", "origin")
        )
        assert status(running) == 200
        via = server.received[0].fields["Via"]
    assert re.fullmatch(r"1\.1 vcproxy \(\w{8}\)", via.split(", ")[0])


FRAMED = {
    "Content-Length": b"Content-Length: 1000\r\n\r\nsome of it",
    "chunked": b"Transfer-Encoding: chunked\r\n\r\na\r\nsome of it\r\n",
    "until the end": b"\r\nsome of it",
}


@pytest.mark.parametrize("framing", FRAMED)
def test_a_truncated_answer_is_detected(
    proxy: Starter, tools: Tools, tmp_path: Path, framing: str
) -> None:
    """With each framing, curl reports an error, and the proxy does not send the request again."""
    with Server() as server:
        running = proxy(web(server.uri))
        for number in range(10):
            ends = number % 2 == 0 and framing != "until the end"
            with running.connect("in") as client:
                client.sendall(GET)
                with server.next() as accepted:
                    head_of(accepted)
                    accepted.sendall(b"HTTP/1.1 200 OK\r\n" + FRAMED[framing])
                    data = b""
                    while not data.endswith((b"some of it", b"some of it\r\n")):
                        data += client.recv(1 << 16)
                    if not ends:
                        reset(accepted)
                try:
                    data += all_of(client)
                except ConnectionResetError:
                    pass
            assert b"\r\n0\r\n" not in data
        got, url = tmp_path / "got", f"http://127.0.0.1:{running.port('in')}/"
        asking = tools.start("curl", "-sSN", "-o", str(got), url)
        with server.next() as accepted:
            head_of(accepted)
            accepted.sendall(b"HTTP/1.1 200 OK\r\n" + FRAMED[framing])
            eventually(got.exists, "some of it has come")
            reset(accepted)
        assert asking.wait(PATIENCE_S) in (18, 56)  # curl: partial file, or failure in receiving
        server.settimeout(0)
        with pytest.raises(BlockingIOError):
            server.accept()


class Forgetful(Echo):
    """Answers once on each connection, and ends it at the second request."""

    answered = False

    def answer(self, received: Received) -> None:
        """Answer the first request; end the connection at the second."""
        if self.answered:
            self.close_connection = True
        else:
            self.answered = True
            super().answer(received)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_connection_that_has_gone_stale(proxy: Starter, method: str) -> None:
    """Idempotent requests are sent again, once; others never: they may have been processed."""
    count = 200
    with origin(Forgetful) as server:
        running = proxy(web(server.uri))
        client = HTTPConnection("127.0.0.1", running.port("in"), timeout=PATIENCE_S)
        statuses = Counter[int]()
        for number in range(count):
            client.request(method, f"/{number}")
            with client.getresponse() as answer:
                answer.read()
            statuses[answer.status] += 1
        client.close()
    seen = Counter(received.target for received in server.received)
    assert len(seen) == count
    if method == "GET":
        assert statuses == {200: count}
        assert set(seen.values()) == {1, 2}
    else:
        assert set(statuses) == {200, 502}
        assert set(seen.values()) == {1}


def test_a_stream_continues_as_long_as_data_moves(proxy: Starter) -> None:
    """There is no limit for the whole stream. One that stalls is closed, and the client detects
    it."""
    with Server() as server:
        running = proxy(web(server.uri, options='timeouts = { stalled = "1s", body = "300ms" }'))
        with running.connect("in") as client, ExitStack() as stack:
            client.sendall(GET)
            accepted = stack.enter_context(server.next())
            head_of(accepted)
            accepted.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            began = time.monotonic()
            events = 0
            while time.monotonic() - began < 2.5:
                accepted.sendall(b"3\r\nhey\r\n")
                events += 1
                while client.recv(1 << 16)[-5:] != b"hey\r\n":
                    pass
                select.select([client], [], [], 0.2)
            assert events > 2
            began = time.monotonic()
            with pytest.raises(ConnectionResetError):
                all_of(client)
            assert 0.5 < time.monotonic() - began < 5
        running.wait_for("response aborted: <GET a.example/>.*: server: ")


def test_a_connection_that_ended_while_idle_is_not_used(proxy: Starter) -> None:
    with Server() as server:
        running = proxy(web(server.uri))
        with running.connect("in") as client:
            for _ in range(20):
                client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
                with server.next() as accepted:
                    head_of(accepted)
                    accepted.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                    assert exactly(client, 20).startswith(b"HTTP/1.1 200 OK")
                    while not client.recv(1 << 16).endswith(b"ok"):
                        pass
                eventually(
                    lambda: running.descriptors() == running.idle_descriptors + 1,
                    "only the client is left",
                )


def test_an_answer_before_all_of_the_body_has_come(proxy: Starter) -> None:
    """The server refuses and reads no more: the client gets its response."""
    with Server() as server:
        running = proxy(web(server.uri))
        with running.connect("in") as client:
            client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9000000\r\n\r\n" + PIECE)
            with server.next() as accepted:
                accepted.recv(1 << 16)
                accepted.sendall(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno")
                data = b""
                while not data.endswith(b"no"):
                    data += client.recv(1 << 16)
        assert data.startswith(b"HTTP/1.1 413 ")
        assert b"\r\nConnection: close\r\n" in data
