"""HTTP clients that close while they wait: in every state the request is aborted at once, so that
its server and the requests in the queue need not wait.
"""

from __future__ import annotations

import resource
import signal
import socket
import ssl
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.conftest import Certificates, Starter
from tests.e2e.running import Running, Server, all_of, eventually, reset
from tests.e2e.web import GET, web

AT_ONCE_S = 5.0
"""Shorter than each timeout of the proxy in these tests, and long enough for a busy machine."""

POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n"
LARGE = POST % 9_000_000 + bytes(9_000_000)
UPGRADE = GET[:-2] + b"Connection: upgrade\r\nUpgrade: websocket\r\n\r\n"
EVENTS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhey\r\n"

FILTERS = """
from vcproxy.api import Subrequests, Filter, Defer, Request, Wait
import time

class WaitAtHead(Filter):
    def request_head(self, tx):
        return Wait("60s")

class LaterAtHead(Filter):
    def request_head(self, tx):
        return Defer(time.sleep, 3, deadline="60s")

class AskAtHead(Filter):
    def request_head(self, tx):
        return Subrequests([Request("GET", "/ask", host="a")], then=lambda tx, answers: None)

class Held(Filter):
    def request_body(self, tx, body):
        return Wait("60s")

class WaitAtServer(Filter):
    def server_chosen(self, tx):
        return Wait("60s")

class WaitAtAnswer(Filter):
    def response_head(self, tx):
        return Wait("60s")

class Gather(Filter):
    def response_body(self, tx, body):
        return None
"""


@dataclass(frozen=True)
class Case:
    """The state of the client's request when the client closes."""

    data: bytes = GET
    received: bytes | None = b"HTTP/1.1\r\n"
    """Bytes that the server must have received by then; None: there is no server connection."""
    replies: bytes = b""
    """What the server sends."""
    filter: str = ""
    upstream: str = ""
    all_read: bool = True
    """Whether the proxy has read all the client's data; if not, it cannot read the FIN yet."""


CASES = {
    "an answer": Case(),
    "an answer to a whole body": Case(POST % 4 + b"body", b"body"),
    "its server to ask for more": Case(POST % 9 + b"body", b"body", all_read=False),
    "its server to read": Case(LARGE, POST[:6], all_read=False),
    "an answer before the next requests": Case(GET * 20_000, all_read=False),
    "an upgrade": Case(UPGRADE, b"websocket"),
    "a look-up": Case(received=None, filter="LaterAtHead"),
    "a while": Case(received=None, filter="WaitAtHead"),
    "a while, with a body": Case(LARGE, None, filter="WaitAtHead", all_read=False),
    "an answer for a filter": Case(received=b"/ask", filter="AskAtHead"),
    "who holds its body": Case(POST % 4 + b"body", None, filter="Held"),
    "a while at its server": Case(received=b"", filter="WaitAtServer"),
    "a while at the answer": Case(replies=EVENTS, filter="WaitAtAnswer"),
    "all of the answer": Case(replies=EVENTS, filter="Gather"),
    "an event": Case(replies=EVENTS),
    "the rest of a short answer": Case(replies=b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"),
    "the rest of a long one": Case(
        replies=b"HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n" + bytes(90_000)
    ),
}


def taken(running: Running) -> None:
    """Wait until the proxy has read all data sent so far, which it reads before this request."""
    with running.connect("in") as other:
        other.sendall(b"no request\r\n\r\n")
        assert all_of(other).startswith(b"HTTP/1.1 400 ")


def ends(running: Running, client: socket.socket, way: str) -> None:
    """End the client's connection: by a reset, a FIN, or a FIN and then a reset."""
    if way == "reset":
        reset(client)
    elif way == "reset behind its end":
        client.shutdown(socket.SHUT_WR)
        taken(running)
        reset(client)
    else:
        client.shutdown(socket.SHUT_WR)


@pytest.fixture
def filters(tmp_path: Path) -> None:
    """The file with the filters."""
    (tmp_path / "waiting.py").write_text(FILTERS)


def rest(running: Running, clients: int = 0) -> bool:
    """Whether the proxy has no open descriptors except those of so many clients."""
    return running.descriptors() <= running.idle_descriptors + clients


def given_up(running: Running, began: float) -> None:
    """Wait until the connections of the client and its server are closed, and the reason is
    logged."""
    eventually(lambda: rest(running), "all that was done for it is given up")
    assert time.monotonic() - began < AT_ONCE_S
    running.wait_for(r"response aborted: <[A-Z]+ [^>]*>.*: client: ")
    assert " 50" not in running.log, "it is not the server's fault"


@pytest.mark.parametrize(
    ("waits_for", "way"),
    [(name, "reset") for name in CASES]
    + [
        (name, way)
        for name, case in CASES.items()
        for way in ("reset behind its end", "end")
        if case.all_read
    ],
)
@pytest.mark.usefixtures("filters")
def test_a_client_that_waits(proxy: Starter, waits_for: str, way: str) -> None:
    case = CASES[waits_for]
    chosen = f'filters = ["waiting.py:{case.filter}"]\n' if case.filter else ""
    closing = "abort_on_close = true\n" if way == "end" else ""
    with Server() as server, ExitStack() as stack:
        running = proxy(web(server.uri, options=chosen + closing))
        client = running.connect("in")
        client.settimeout(0.3)
        try:
            client.sendall(case.data)
        except TimeoutError:
            assert not case.all_read
        if case.received is not None:
            accepted = stack.enter_context(server.next())
            got = b""
            while case.received not in got:
                got += accepted.recv(1 << 16)
            accepted.sendall(case.replies)
        taken(running)
        began = time.monotonic()
        ends(running, client, way)
        try:
            given_up(running, began)
        finally:
            client.close()


WAYS = {"reset": "", "end": "abort_on_close = true"}


@pytest.mark.parametrize("way", WAYS)
def test_the_room_at_the_server_is_free_for_the_next(proxy: Starter, way: str) -> None:
    with Server() as server:
        running = proxy(web(server.uri, options=WAYS[way], upstream="max_connections = 1"))
        with running.connect("in") as first, running.connect("in") as second:
            first.sendall(GET)
            with server.next() as accepted:
                second.sendall(GET)
                taken(running)
                began = time.monotonic()
                ends(running, first, way)
                with server.next() as again:
                    assert time.monotonic() - began < AT_ONCE_S
                    again.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                    assert second.recv(1 << 16).startswith(b"HTTP/1.1 200 OK")
                with pytest.raises(ConnectionResetError):
                    all_of(accepted)  # the request, then a reset instead of a FIN


@pytest.mark.parametrize(
    ("data", "way"),
    [(GET, "reset"), (LARGE, "reset"), (GET, "end"), (POST % 4 + b"body", "end")],
)
def test_the_place_in_the_queue_is_free_for_the_next(proxy: Starter, data: bytes, way: str) -> None:
    limits = "max_connections = 1\nqueue = { size = 1 }"
    with Server() as server, ExitStack() as stack:
        running = proxy(web(server.uri, options=WAYS[way], upstream=limits))
        first, second, third, fourth = (
            stack.enter_context(running.connect("in")) for _ in range(4)
        )
        first.sendall(GET)
        accepted = stack.enter_context(server.next())
        second.settimeout(0.3)
        try:
            second.sendall(data)
        except TimeoutError:
            assert data is LARGE
        taken(running)
        third.sendall(GET)
        assert third.recv(1 << 16).startswith(b"HTTP/1.1 503 ")  # the queue is full
        ends(running, second, way)
        running.wait_for("response aborted: <[A-Z]+ [^>]*>.*: client: ")
        fourth.sendall(GET)
        taken(running)
        accepted.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        with server.next() as again:
            again.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            assert fourth.recv(1 << 16).startswith(b"HTTP/1.1 200 OK")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("connect", [False, True])
def test_a_client_that_waits_for_a_server_that_does_not_accept(
    proxy: Starter, connect: bool, way: str
) -> None:
    with Server(backlog=0) as hole, ExitStack() as stack:
        for _ in range(2):  # the server's backlog is full: the kernel drops further SYNs
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(hole.getsockname())
        patient = 'timeouts = { connect = "50s" }'
        if connect:
            place = hole.uri[6:]
            allowed = f'connect = {{ allow = ["{place}"] }}\n'
            data = f"CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n\r\n".encode()
            text = web("tcp://127.0.0.1:1", listener=patient, options=allowed + WAYS[way])
        else:
            data = GET
            text = web(hole.uri, listener=patient, options=WAYS[way])
        running = proxy(text)
        with running.connect("in") as client:
            client.sendall(data)
            eventually(lambda: running.descriptors() == running.idle_descriptors + 2, "it connects")
            began = time.monotonic()
            ends(running, client, way)
            given_up(running, began)


@pytest.mark.parametrize("way", ["reset", "FIN alone", "close_notify"])
@pytest.mark.parametrize("abort", [False, True])
def test_a_client_with_tls(
    proxy: Starter, certificates: Certificates, way: str, abort: bool
) -> None:
    """A FIN is treated alike with and without close_notify, which many libraries do not send."""
    certificate, key = certificates.issue("localhost")
    with Server() as server:
        running = proxy(
            web(
                server.uri,
                bind="tls://127.0.0.1:0",
                listener=f'tls = {{ certificate = "{certificate}", key = "{key}" }}',
                options="abort_on_close = true" if abort else "",
            )
        )
        context = ssl.create_default_context(cafile=str(certificates.ca))
        plain = running.connect("in")
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(incoming, outgoing, server_hostname="localhost")

        def shake_hands() -> None:
            while True:
                try:
                    tls.do_handshake()
                    return
                except ssl.SSLWantReadError:
                    plain.sendall(outgoing.read())
                    incoming.write(plain.recv(1 << 16))

        with plain:
            shake_hands()
            tls.write(GET)
            plain.sendall(outgoing.read())
            with server.next() as accepted:
                while not accepted.recv(1 << 16).endswith(b"\r\n\r\n"):
                    pass
                began = time.monotonic()
                if way == "close_notify":
                    with pytest.raises(ssl.SSLError):
                        tls.unwrap()
                    plain.sendall(outgoing.read())
                ends(running, plain, "reset" if way == "reset" else "end")
                if way == "reset" or abort:
                    given_up(running, began)
                    return
                accepted.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes")
                incoming.write(all_of(plain))
                assert tls.read(1 << 16).endswith(b"yes")


@pytest.mark.parametrize("way", WAYS)
def test_a_thousand_at_once_leave_no_descriptor(proxy: Starter, way: str) -> None:
    """Requests in the queue, at the server and inside a body, during a reload."""
    limits = 'max_connections = 300\nqueue = { size = 2000, timeout = "60s" }'
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with Server(backlog=1024) as server, ExitStack() as stack:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        running = proxy(web(server.uri, options=WAYS[way], upstream=limits))
        clients = [stack.enter_context(running.connect("in")) for _ in range(1000)]
        for number, client in enumerate(clients):
            client.sendall(POST % 4 + b"body" if number % 2 else GET)
        eventually(
            lambda: running.descriptors() >= running.idle_descriptors + 1300, "all are served"
        )
        running.signal(signal.SIGHUP)
        for client in clients:
            ends(running, client, way)
        eventually(lambda: rest(running), "nothing is left of them")
        running.wait_for("response aborted: <[A-Z]+ [^>]*>.*: client: ", 1000)
        assert " 50" not in running.log
