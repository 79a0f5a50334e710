"""The process is stopped for a while: data that arrived meanwhile is read before timers are
handled."""

from __future__ import annotations

import os
import selectors
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from threading import Event

from tests.e2e.conftest import Starter
from tests.e2e.running import PATIENCE_S, Server, exactly

CLIENTS = 50
PAUSE_S = 3.0

CONFIGURATION = """
[[listener]]
name = "web"
bind = "tcp://127.0.0.1:0"
plugin = "http_proxy"
upstream = "out"
options = {{ timeouts = {{ idle = "2s", head = "2s", first_byte = "2s" }} }}

[upstream.out]
servers = ["{}"]
"""

REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def test_no_client_is_closed_because_the_proxy_was_stopped(proxy: Starter) -> None:
    with Server() as server:
        running = proxy(CONFIGURATION.format(server.uri))
        requesters = [running.connect("web") for _ in range(CLIENTS)]
        for client in requesters:
            client.sendall(REQUEST)
        servers = [server.next() for _ in requesters]
        for accepted in servers:
            request_from(accepted)
        idle = [running.connect("web") for _ in range(CLIENTS)]
        begun = [running.connect("web") for _ in range(CLIENTS)]
        for client in begun:
            client.sendall(REQUEST[:10])
        os.kill(running.pid, signal.SIGSTOP)
        Event().wait(PAUSE_S)
        for accepted in servers:
            accepted.sendall(ANSWER)
        for client in idle:
            client.sendall(REQUEST)
        for client in begun:
            client.sendall(REQUEST[10:])
        os.kill(running.pid, signal.SIGCONT)
        assert {exactly(client, 12) for client in requesters} == {b"HTTP/1.1 200"}
        with ThreadPoolExecutor(1) as thread:
            serving = thread.submit(serve, server, servers, 2 * CLIENTS)
            assert {exactly(client, 12) for client in (*idle, *begun)} == {b"HTTP/1.1 200"}
            serving.result()
        running.wait_for("was delayed for")
        for sock in (*requesters, *idle, *begun, *servers):
            sock.close()


def serve(server: Server, servers: list[socket.socket], requests: int) -> None:
    """Reply to the given number of requests, on old and new connections."""
    with selectors.DefaultSelector() as selector:
        for sock in (server, *servers):
            selector.register(sock, selectors.EVENT_READ)
        while requests:
            for key, _ in selector.select(PATIENCE_S):
                if key.fileobj is server:
                    servers.append(server.next())
                    selector.register(servers[-1], selectors.EVENT_READ)
                else:
                    accepted = key.fileobj
                    assert isinstance(accepted, socket.socket)
                    if request_from(accepted):
                        accepted.sendall(ANSWER)
                        requests -= 1
                    else:
                        selector.unregister(accepted)


def request_from(accepted: socket.socket) -> bytes:
    """Read a request; empty if the proxy has closed the connection."""
    received = b""
    while not received.endswith(b"\r\n\r\n"):
        piece = accepted.recv(1 << 16)
        if not piece:
            break
        received += piece
    return received
