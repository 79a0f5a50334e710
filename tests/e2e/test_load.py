"""Load: many connections, few descriptors, unread bytes, tiny pieces."""

from __future__ import annotations

import os
import resource
import selectors
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from tests.e2e.conftest import Starter
from tests.e2e.running import ECHO, PIECE, Server, all_of, eventually, exactly, fill, forward

MIB = 1 << 20


def echoes(client: socket.socket, payload: bytes) -> None:
    """Send data and receive it back."""
    client.sendall(payload)
    assert exactly(client, len(payload)) == payload


@pytest.mark.parametrize("settings", ["", "splice = false"], ids=["bridged", "copied"])
def test_clients_that_never_read_cost_little_and_delay_no_others(
    proxy: Starter, settings: str
) -> None:
    with Server() as server, ExitStack() as stuck:
        running = proxy(f"[proxy]\n{settings}\n" + forward(server.uri) + ECHO)
        before = running.resident()
        for _ in range(5):
            client = stuck.enter_context(running.connect("in"))
            stuck.enter_context(server.next())  # this server never reads
            fill(client)
        assert running.resident() - before < 5 * MIB
        with running.connect("echo") as other:
            for _ in range(20):
                with ThreadPoolExecutor(1) as sender:
                    sending = sender.submit(other.sendall, PIECE)
                    assert exactly(other, len(PIECE)) == PIECE
                    sending.result()


def test_a_spent_memory_budget_closes_the_largest_laggard(proxy: Starter) -> None:
    """The buffers of one tunnel alone would exceed the budget."""
    with Server() as server, ExitStack() as stuck:
        running = proxy('[proxy]\nmemory = "256KiB"\nsplice = false\n' + forward(server.uri) + ECHO)
        for _ in range(6):
            client = stuck.enter_context(running.connect("in"))
            stuck.enter_context(server.next())
            fill(client)
        running.wait_for("WARNING .* closed: the memory budget is used up, and it holds ")
        with running.connect("echo") as other:
            echoes(other, b"still here")


def test_one_byte_at_a_time(proxy: Starter) -> None:
    payload = bytes(range(256)) * 8
    with Server() as server:
        running = proxy(forward(server.uri))
        with running.connect("in") as client, server.next() as accepted:
            for sock in (client, accepted):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for number in range(len(payload)):
                client.sendall(payload[number : number + 1])
                accepted.sendall(payload[number : number + 1])
            client.shutdown(socket.SHUT_WR)
            accepted.shutdown(socket.SHUT_WR)
            assert all_of(accepted) == payload
            assert all_of(client) == payload


@pytest.mark.parametrize("net_threads", [1, 3])
def test_many_connections_wait_in_the_backlog_and_are_served(
    proxy: Starter, net_threads: int
) -> None:
    running = proxy(
        f"[proxy]\nnet_threads = {net_threads}\n" + ECHO + "limits = { max_connections = 10 }\n"
    )
    clients = [running.connect("echo") for _ in range(200)]
    for number, client in enumerate(clients):
        client.sendall(b"%d" % number)
    assert running.descriptors() <= running.idle_descriptors + 10
    for number, client in enumerate(clients):  # each closed client makes room for another
        assert exactly(client, len(b"%d" % number)) == b"%d" % number
        client.close()


@pytest.mark.parametrize("net_threads", [1, 3])
def test_the_limit_of_connections_per_client(proxy: Starter, net_threads: int) -> None:
    running = proxy(
        f"[proxy]\nnet_threads = {net_threads}\n" + ECHO + "limits = { max_per_client = 2 }\n"
    )
    kept = [running.connect("echo") for _ in range(2)]
    for client in kept:
        echoes(client, b"welcome")
    for _ in range(5):
        with running.connect("echo") as client:
            assert client.recv(1) == b""
    running.wait_for("WARNING echo: 127.0.0.1 is refused: the client has 2 connections already")
    for client in kept:
        client.close()

    def served() -> bool:
        """Whether the proxy has noticed that the clients are closed, and accepts another."""
        with running.connect("echo") as client:
            try:
                client.sendall(b"again")
                return client.recv(5) == b"again"
            except ConnectionError:
                return False

    eventually(served, "there is room again")


def test_without_descriptors_it_warns_and_continues(proxy: Starter) -> None:
    running = proxy(ECHO, wrapper=("prlimit", "--nofile=40:40"))
    clients = [running.connect("echo") for _ in range(60)]
    echoes(clients[0], b"served")
    running.wait_for(
        "WARNING echo: accepting paused: all 40 descriptors are in use or reserved for servers"
    )
    for client in clients[:30]:
        client.close()
    for client in clients[30:]:
        echoes(client, b"served in the end")
        client.close()
    with running.connect("echo") as client:
        echoes(client, b"as ever")
    running.wait_for("accepting paused")
    assert running.log.count("accepting paused") == 1, "once a minute at most"


def test_with_very_few_descriptors_each_client_is_served_in_turn(proxy: Starter) -> None:
    echo = proxy(ECHO)
    running = proxy(forward(echo.uri("echo")), wrapper=("prlimit", "--nofile=30:30"))
    clients = [running.connect("in") for _ in range(40)]
    for client in clients:
        echoes(client, b"served")
        client.close()
    assert "failed" not in running.log


def test_thousands_of_idle_connections(proxy: Starter) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    count = min(3000, hard // 3)
    running = proxy(ECHO + f"limits = {{ max_connections = {count} }}\n")
    try:
        with ExitStack() as idle:
            before = running.resident()
            clients = [idle.enter_context(running.connect("echo")) for _ in range(count)]
            eventually(
                lambda: running.descriptors() >= running.idle_descriptors + count, "all are there"
            )
            assert (running.resident() - before) / count < 12 * 1024
            for client in clients:
                client.sendall(b"awake")
            assert all(exactly(client, 5) == b"awake" for client in clients)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_many_at_once_on_several_net_threads(proxy: Starter) -> None:
    running = proxy("[proxy]\nnet_threads = 4\n" + ECHO)
    payload = b"0123456789" * 2000
    with ExitStack() as stack, selectors.DefaultSelector() as selector:
        for _ in range(100):
            client = stack.enter_context(running.connect("echo"))
            client.sendall(payload)
            client.shutdown(socket.SHUT_WR)
            selector.register(client, selectors.EVENT_READ, bytearray())
        while selector.get_map():
            for key, _ in selector.select(15):
                piece = os.read(key.fd, 1 << 16)
                key.data.extend(piece)
                if not piece:
                    assert key.data == payload
                    selector.unregister(key.fd)
