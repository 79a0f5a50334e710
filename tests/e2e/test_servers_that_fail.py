"""Servers that refuse, reset, do not reply or do not exist: the next one is tried."""

from __future__ import annotations

import socket
from pathlib import Path

from tests.e2e.conftest import Certificates, Starter
from tests.e2e.running import Server, all_of, eventually, exactly, forward, refusing, reset

WORDS = "(connection reset by peer|the peer closed the connection during the handshake)"
"""If OpenSSL got the reset on sending, reading returns the end of the stream."""


def ended(client: socket.socket) -> bool:
    """Whether a connection ends without data, by an end or a reset."""
    try:
        return all_of(client) == b""
    except ConnectionResetError:
        return True


def test_the_next_server_is_tried(proxy: Starter) -> None:
    dead = refusing()
    with Server() as server:
        running = proxy(forward(dead, server.uri))
        for _ in range(4):  # each turn starts with another server
            with running.connect("in") as client, server.next() as accepted:
                client.sendall(b"hello")
                assert exactly(accepted, 5) == b"hello"
    running.wait_for(f"server {dead} failed: connection refused; trying the next", 2)


def test_with_no_server_left_the_client_is_closed_and_the_reason_logged(proxy: Starter) -> None:
    one, two = refusing(), refusing()
    running = proxy(forward(one, two))
    with running.connect("in") as client:
        client.sendall(b"is anybody there?")
        assert ended(client)
        prefix = f"INFO in 127.0.0.1:{client.getsockname()[1]}: server"
    running.wait_for(f"{prefix} {one} failed: connection refused; trying the next")
    running.wait_for(f"{prefix} {two} failed: connection refused; no server is left")


def test_connecting_to_a_server_that_never_accepts_times_out(proxy: Starter) -> None:
    with Server(backlog=0) as full, Server() as server, socket.socket() as filler:
        filler.connect(full.getsockname())  # the backlog is full: the kernel drops further SYNs
        running = proxy(forward(full.uri, server.uri, listener='timeouts = { connect = "200ms" }'))
        with running.connect("in") as client, server.next() as accepted:
            accepted.sendall(b"welcome")
            assert exactly(client, 7) == b"welcome"
        running.wait_for(f"server {full.uri} failed: connection timed out; trying the next")


def test_a_server_that_never_accepts_costs_every_other_client_until_it_is_ejected(
    proxy: Starter,
) -> None:
    """After its ejection, one client has to wait each time the server is tried again."""
    with Server(backlog=0) as full, Server() as server, socket.socket() as filler:
        filler.connect(full.getsockname())
        limit = 'timeouts = { connect = "200ms" }'
        eject = 'eject = { failures = 3, time = "2s" }'
        running = proxy(forward(full.uri, server.uri, listener=limit, upstream=eject))
        failed = f"server {full.uri} failed: connection timed out; trying the next"
        for number in range(8):
            with running.connect("in") as client, server.next() as accepted:
                accepted.sendall(b"welcome")
                assert exactly(client, 7) == b"welcome"
            running.wait_for(failed, min(number // 2 + 1, 3))
            assert running.log.count(failed) == min(number // 2 + 1, 3)
        running.wait_for(f"{full.uri} is down: 3 connections in a row .* tried again in 2s")

        def tried_again() -> bool:
            with running.connect("in") as client, server.next() as accepted:
                accepted.sendall(b"welcome")
                assert exactly(client, 7) == b"welcome"
            return " it was tried again and failed: " in running.log

        eventually(tried_again, "a trial")
        running.wait_for("it was tried again and failed: .* it is tried again in 4s")
        assert running.log.count(failed) == 4, "one client has tried it"


def test_a_server_that_resets_at_once_ends_the_client(proxy: Starter) -> None:
    with Server() as server:
        running = proxy(forward(server.uri))
        with running.connect("in") as client:
            reset(server.next())
            assert ended(client)  # by an end or a reset
        running.wait_for("connection reset by peer")


def test_after_a_reset_in_the_handshake_the_next_server_is_tried(
    proxy: Starter, certificates: Certificates
) -> None:
    with Server() as one, Server() as two:
        servers = [server.uri.replace("tcp:", "tls:") for server in (one, two)]
        running = proxy(forward(*servers))
        with running.connect("in") as client:
            reset(one.next())
            reset(two.next())
            assert ended(client)
    running.wait_for(f"server {servers[0]} failed: {WORDS}; trying the next")
    running.wait_for(f"server {servers[1]} failed: {WORDS}; no server is left")


def test_a_missing_unix_socket_and_an_unknown_host_are_named(
    proxy: Starter, tmp_path: Path
) -> None:
    running = proxy(forward("unix:missing.sock", "tcp://nobody.invalid:80"))
    with running.connect("in") as client:
        assert ended(client)
    running.wait_for(f"server unix:{tmp_path}/missing.sock failed: .*no such file or directory")
    running.wait_for("server tcp://nobody.invalid:80 failed: cannot resolve nobody.invalid: name ")


def test_the_client_is_not_read_before_there_is_a_server(proxy: Starter) -> None:
    """The client's data stays in the kernel until a server is connected."""
    with Server(backlog=0) as full, Server() as server, socket.socket() as filler:
        filler.connect(full.getsockname())
        running = proxy(forward(full.uri, server.uri, listener='timeouts = { connect = "200ms" }'))
        with running.connect("in") as client:
            client.sendall(b"first words")
            client.shutdown(socket.SHUT_WR)
            with server.next() as accepted:
                assert all_of(accepted) == b"first words"
                accepted.sendall(b"data")
            assert all_of(client) == b"data"


def test_data_of_a_server_that_ends_at_once_is_delivered(proxy: Starter) -> None:
    with Server() as server:
        running = proxy(forward(server.uri))
        for number in range(200):
            with running.connect("in") as client:
                with server.next() as accepted:
                    accepted.sendall(b"%d" % number)
                assert all_of(client) == b"%d" % number
