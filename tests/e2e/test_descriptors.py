"""A process with few descriptors: accepted clients are served, others wait."""

from __future__ import annotations

import re
import resource
import socket
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.e2e.conftest import Starter
from tests.e2e.running import ECHO, PATIENCE_S, Running, Server, eventually, exactly, forward, reset

LIMIT = 128
FEW = ("prlimit", f"--nofile={LIMIT}:{LIMIT}")
COUNT = 60


def allowed(running: Running) -> int:
    """Return the number of clients that the proxy accepts, as its log reports."""
    line = running.wait_for(f"{LIMIT} descriptors allow [0-9]+ clients at a time")
    found = re.search("allow ([0-9]+) clients", line)
    assert found is not None
    return int(found[1])


def test_a_client_that_was_accepted_has_a_descriptor_for_its_server(proxy: Starter) -> None:
    with ExitStack() as stack, Server(backlog=COUNT) as server:
        running = proxy(forward(server.uri), wrapper=FEW)
        most = allowed(running)
        clients = [stack.enter_context(running.connect("in")) for _ in range(COUNT)]
        for number, client in enumerate(clients):
            client.sendall(b"%3d" % number)
        served = {}
        for _ in range(most):
            accepted = stack.enter_context(server.next())
            served[int(exactly(accepted, 3))] = accepted
        running.wait_for(
            f"in: accepting paused: all {LIMIT} descriptors are in use or reserved for servers"
        )
        assert running.descriptors() <= LIMIT
        while len(served) < COUNT:  # each closed client makes room for another
            number = next(iter(served))
            clients[number].close()
            served[number].close()
            accepted = stack.enter_context(server.next())
            served[int(exactly(accepted, 3))] = accepted
            del served[number]
            if len(served) == most and max(served) == COUNT - 1:
                break
        assert "failed" not in running.log
        assert running.log.count("accepting paused") == 1


def test_bulk_is_copied_if_there_are_no_descriptors_for_pipes(proxy: Starter) -> None:
    piece = bytes(1 << 20)
    with ExitStack() as stack, Server(backlog=COUNT) as server:
        running = proxy(forward(server.uri), wrapper=FEW)
        pairs = []
        for _ in range(30):
            client = stack.enter_context(running.connect("in"))
            pairs.append((client, stack.enter_context(server.next())))
        for client, accepted in pairs:
            client.setblocking(False)
            accepted.setblocking(False)
        sent, received, most = 0, 0, 0
        while received < 30 * len(piece):
            for client, accepted in pairs:
                if sent < 30 * len(piece):
                    try:
                        sent += client.send(piece)
                    except BlockingIOError:
                        pass
                try:
                    received += len(accepted.recv(1 << 20))
                except BlockingIOError:
                    pass
            most = max(most, running.pipes())
        assert most <= 1 + LIMIT // 4
        assert "failed" not in running.log


def test_idle_connections_to_servers_make_room(proxy: Starter) -> None:
    """With several upstreams there may be more idle server connections than clients."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    with ExitStack() as stack:
        servers = [stack.enter_context(Server()) for _ in range(4)]
        text = ""
        for number, server in enumerate(servers):
            text += f"""
[[listener]]
name = "web-{number}"
bind = "tcp://127.0.0.1:0"
plugin = "http_proxy"
upstream = "app-{number}"

[upstream.app-{number}]
servers = ["{server.uri}"]
"""
        running = proxy(text, wrapper=FEW)
        count = allowed(running)
        for number, server in enumerate(servers):
            with ExitStack() as burst:
                clients = [
                    burst.enter_context(running.connect(f"web-{number}")) for _ in range(count)
                ]
                for client in clients:
                    client.sendall(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")
                connections = [stack.enter_context(server.next()) for _ in clients]
                for accepted in connections:  # only now: a connection that is free would be reused
                    accepted.recv(1000)
                    accepted.sendall(answer)
                for client in clients:
                    assert client.recv(1000).startswith(b"HTTP/1.1 200"), "and not 502"
        assert "too many open files" not in running.log


def test_datagram_sessions_make_room_and_log_it_once_a_second(proxy: Starter) -> None:
    with ExitStack() as stack:
        server = stack.enter_context(socket.socket(type=socket.SOCK_DGRAM))
        server.bind(("127.0.0.1", 0))
        server.settimeout(15)
        there = f"udp://127.0.0.1:{server.getsockname()[1]}"
        short = 'timeouts = { inactivity = "5s" }'
        running = proxy(forward(there, bind="udp://127.0.0.1:0", listener=short), wrapper=FEW)
        place = ("127.0.0.1", running.port("in"))
        began = time.monotonic()
        for _ in range(3):
            for _ in range(200):
                with socket.socket(type=socket.SOCK_DGRAM) as client:
                    client.sendto(b"spoofed", place)
            time.sleep(0)
        running.wait_for("datagrams? (was|were) dropped: .* there is no descriptor for one more")
        with socket.socket(type=socket.SOCK_DGRAM) as client:

            def served() -> bool:
                client.sendto(b"let me in", place)
                server.settimeout(0.1)
                try:
                    while server.recv(100) != b"let me in":
                        pass
                except TimeoutError:
                    return False
                return True

            eventually(served, "a new source is served")
        seconds = time.monotonic() - began + 1
        assert len(re.findall("WARNING", running.log)) <= 3 * seconds + 1
        assert "failed" not in running.log


def test_a_limit_above_the_descriptors_is_logged_at_the_start(proxy: Starter) -> None:
    running = proxy(ECHO + "limits = { max_connections = 1000 }\n", wrapper=FEW)
    most = allowed(running)
    running.wait_for(
        "WARNING listener.echo: limits.max_connections = 1000, "
        f"but {LIMIT} descriptors allow {most} clients at a time"
    )


def test_two_thousand_clients_at_once_without_a_repeated_syn(proxy: Starter) -> None:
    if int(Path("/proc/sys/net/core/somaxconn").read_text()) < 4096:
        pytest.skip("the system keeps no 4096 connections for anybody")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 4096), max(hard, 4096)))
    running = proxy(ECHO)
    with ExitStack() as stack:
        clients = [stack.enter_context(socket.socket()) for _ in range(2000)]
        for client in clients:
            client.setblocking(False)
            client.connect_ex(("127.0.0.1", running.port("echo")))
        for client in clients:
            client.setblocking(True)
            client.settimeout(PATIENCE_S)
            client.sendall(b"hello")
            assert exactly(client, 5) == b"hello"
        assert sum(map(sent_again, clients)) == 0


def sent_again(sock: socket.socket) -> int:
    """Segments of a connection that were sent again (linux/tcp.h: total_retrans)."""
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
    return int.from_bytes(info[100:104], sys.byteorder)


@pytest.mark.parametrize("plugin", ["forward", "http_proxy", "echo", "validate", "split"])
def test_a_health_check_that_connects_and_resets_is_not_logged(proxy: Starter, plugin: str) -> None:
    with Server() as server:
        text = forward(server.uri).replace('"forward"', f'"{plugin}"')
        if plugin == "echo":
            text = ECHO.replace('"echo"', '"in"', 1)
        running = proxy(text)
        for _ in range(10):
            reset(running.connect("in"))
        with running.connect("in") as client:
            client.sendall(b"x")
            eventually(
                lambda: running.descriptors() <= running.idle_descriptors + 3, "the others are gone"
            )
        assert "127.0.0.1:" not in running.log.partition("\nready\n")[2]
