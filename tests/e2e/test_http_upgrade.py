"""WebSocket through the proxy: after the response 101, all data is forwarded unchanged."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Thread

import pytest
from websockets.exceptions import ConnectionClosedOK, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.sync.server import ServerConnection, serve

from tests.e2e.conftest import Certificates, Starter
from tests.e2e.running import PATIENCE_S, Running, Server, all_of, exactly
from tests.e2e.test_http_tls import terminating
from tests.e2e.web import origin, way_out, web


def echo(connection: ServerConnection) -> None:
    """Send a first message, then echo each message until one asks for the end."""
    connection.send("welcome")
    for message in connection:
        if message == "end":
            connection.close(reason="as asked")
        else:
            connection.send(message)


@pytest.fixture
def sockets() -> Iterator[str]:
    """Run a WebSocket server of another project; yield its URI."""
    with serve(echo, "127.0.0.1", 0, max_size=None, compression=None) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"tcp://127.0.0.1:{server.socket.getsockname()[1]}"
        server.shutdown()
        thread.join()


@contextmanager
def conversation(
    running: Running, secured: ssl.SSLContext | None = None
) -> Iterator[ClientConnection]:
    """A client that is connected through the proxy and has received a first message."""
    scheme = "ws" if secured is None else "wss"
    uri = f"{scheme}://localhost:{running.port('in')}/chat"
    with connect(uri, ssl=secured, proxy=None, max_size=None, compression=None) as client:
        assert client.recv(PATIENCE_S) == "welcome"
        yield client


def test_messages_of_all_sizes(proxy: Starter, sockets: str) -> None:
    running = proxy(web(sockets, bind="tcp://localhost:0"))
    with conversation(running) as client:
        for size in (0, 1, 125, 126, 65_535, 65_536, 10_000_000):
            message = os.urandom(size)
            client.send(message)
            assert client.recv(PATIENCE_S) == message


def test_many_messages_both_ways_at_once(proxy: Starter, sockets: str) -> None:
    running = proxy(web(sockets, bind="tcp://localhost:0"))
    messages = [f"message {number}" for number in range(3_000)]
    with conversation(running) as client, ThreadPoolExecutor(1) as sender:
        sending = sender.map(client.send, messages)
        assert [client.recv(PATIENCE_S) for _ in messages] == messages
        list(sending)


def test_either_side_may_end_the_connection(proxy: Starter, sockets: str) -> None:
    running = proxy(web(sockets, bind="tcp://localhost:0"))
    with conversation(running) as client:
        client.close(reason="enough")
        assert (client.close_code, client.close_reason) == (1000, "enough")
    with conversation(running) as client:
        client.send("end")
        with pytest.raises(ConnectionClosedOK) as closed:
            client.recv(PATIENCE_S)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.reason == "as asked"


def test_over_tls(proxy: Starter, sockets: str, certificates: Certificates) -> None:
    running = proxy(web(sockets, bind="tls://localhost:0", listener=terminating(certificates)))
    secured = ssl.create_default_context(cafile=str(certificates.ca))
    with conversation(running, secured) as client:
        client.send("hello")
        assert client.recv(PATIENCE_S) == "hello"


def test_through_a_tunnel_by_connect(proxy: Starter, sockets: str) -> None:
    running = proxy(way_out())
    uri, way = sockets.replace("tcp", "ws"), f"http://127.0.0.1:{running.port('in')}"
    with connect(uri, proxy=way) as client:
        assert client.recv(PATIENCE_S) == "welcome"


def test_the_answer_of_a_server_that_does_not_upgrade_is_forwarded(proxy: Starter) -> None:
    with origin() as server:
        running = proxy(web(server.uri, bind="tcp://localhost:0"))
        with pytest.raises(InvalidStatus) as refused, conversation(running):
            pass
        assert refused.value.response.status_code == 200
        assert server.received[0].fields["Upgrade"] == "websocket"


def test_no_byte_is_lost_around_the_switch(proxy: Starter) -> None:
    """Each side sends data together with its head."""
    with Server() as server:
        running = proxy(web(server.uri))
        with running.connect("in") as client:
            client.sendall(
                b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\nearly"
            )
            with server.next() as accepted:
                head = b""
                while not head.endswith(b"\r\n\r\n"):
                    head += exactly(accepted, 1)
                accepted.sendall(
                    b"HTTP/1.1 101 Switching Protocols\r\n"
                    b"Connection: upgrade\r\nUpgrade: echo\r\n\r\nhello"
                )
                assert exactly(accepted, 5) == b"early"
                accepted.shutdown(1)
                assert all_of(client).endswith(b"\r\n\r\nhello")
                client.sendall(b"late")
                client.shutdown(1)
                assert all_of(accepted) == b"late"
