"""Connections that are reset during a transfer, from either side."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.e2e.conftest import Certificates, Starter
from tests.e2e.running import ECHO, PIECE, Server, all_of, exactly, fill, forward, reset

Settings = pytest.mark.parametrize("settings", ["", "splice = false"], ids=["bridged", "copied"])


def pump(source: socket.socket, sink: socket.socket, times: int) -> None:
    """Send enough that the transfer is still in progress, in pieces that the sink reads."""
    with ThreadPoolExecutor(1) as sender:
        for _ in range(times):
            sending = sender.submit(source.sendall, PIECE)
            assert exactly(sink, len(PIECE)) == PIECE
            sending.result()


def breaks(sock: socket.socket) -> bool:
    """Whether a connection ends with a reset, with or without data before it."""
    try:
        all_of(sock)
    except ConnectionResetError:
        return True
    return False


@Settings
@pytest.mark.parametrize("times", [0, 8], ids=["at rest", "in mid-transfer"])
@pytest.mark.parametrize("towards", ["server", "client"])
@pytest.mark.parametrize("breaker", ["sender", "receiver"])
def test_a_reset_reaches_the_other_side_as_one(
    proxy: Starter, settings: str, times: int, towards: str, breaker: str
) -> None:
    with Server() as server:
        running = proxy(f"[proxy]\n{settings}\n" + forward(server.uri))
        client = running.connect("in")
        accepted = server.next()
        source, sink = (client, accepted) if towards == "server" else (accepted, client)
        with source, sink:
            source.sendall(b"begun")
            exactly(sink, 5)
            pump(source, sink, times)
            if times:  # and more is in transit
                source.sendall(b"unfinished")
                exactly(sink, 1)
            first, other = (source, sink) if breaker == "sender" else (sink, source)
            reset(first)
            assert breaks(other)
    running.wait_for("INFO in 127.0.0.1:.*a connection failed .*connection reset by peer")


@Settings
def test_a_reset_after_a_full_buffer_reaches_a_reader(proxy: Starter, settings: str) -> None:
    with Server() as server:
        running = proxy(f"[proxy]\n{settings}\n" + forward(server.uri))
        with running.connect("in") as client, server.next() as accepted:
            fill(client)
            reset(client)
            assert breaks(accepted)


def test_a_tls_client_that_resets_resets_the_server(
    proxy: Starter, certificates: Certificates
) -> None:
    certificate, key = certificates.issue("localhost")
    trusting = ssl.create_default_context(cafile=str(certificates.ca))
    with Server() as server:
        running = proxy(
            forward(
                server.uri,
                bind="tls://127.0.0.1:0",
                listener=f'tls = {{ certificate = "{certificate}", key = "{key}" }}',
            )
        )

        def conversation(end: Callable[[ssl.SSLSocket, socket.socket], None]) -> bool:
            with (
                trusting.wrap_socket(running.connect("in"), server_hostname="localhost") as client,
                server.next() as accepted,
            ):
                client.sendall(b"half a mess")
                assert exactly(accepted, 11) == b"half a mess"
                end(client, accepted)
                return breaks(accepted)

        def in_order(client: ssl.SSLSocket, accepted: socket.socket) -> None:
            accepted.shutdown(socket.SHUT_WR)
            client.unwrap().close()

        assert conversation(lambda client, _: reset(client))
        assert conversation(lambda client, _: client.close())  # a FIN without close_notify
        running.wait_for("truncated: it ended without close_notify")
        assert not conversation(in_order)


def test_a_tls_client_that_resets_is_detected_while_it_is_not_read(
    proxy: Starter, certificates: Certificates
) -> None:
    """The proxy waits to send the echo before it reads more."""
    certificate, key = certificates.issue("localhost")
    trusting = ssl.create_default_context(cafile=str(certificates.ca))
    running = proxy(
        ECHO.replace("tcp:", "tls:") + f'tls = {{ certificate = "{certificate}", key = "{key}" }}\n'
    )
    for _ in range(3):
        plain = running.connect("echo")
        with trusting.wrap_socket(plain, server_hostname="localhost") as client:
            fill(client)
            reset(client)
    running.wait_for("a connection failed .*(connection reset by peer|broken pipe)", 3)


def test_both_ends_at_the_same_time(proxy: Starter) -> None:
    with Server() as server:
        running = proxy(forward(server.uri))
        for number in range(100):
            client = running.connect("in")
            accepted = server.next()
            client.sendall(b"x")
            accepted.sendall(b"y")
            for sock in (client, accepted) if number % 2 else (accepted, client):
                sock.shutdown(socket.SHUT_WR)
            assert all_of(client) == b"y"
            assert all_of(accepted) == b"x"
            client.close()
            accepted.close()
    assert "failed" not in running.log


def test_thousands_of_abrupt_ends_leave_nothing(proxy: Starter) -> None:
    """Each kind of end in turn; the fixture `proxy` checks the open descriptors after the test."""
    with Server() as server:
        running = proxy(forward(server.uri) + ECHO)
        for number in range(1000):
            client = running.connect("in")
            accepted = server.next()
            kind = number % 5
            if kind == 0:
                reset(client)
                accepted.close()
            elif kind == 1:
                reset(accepted)
                client.close()
            elif kind == 2:
                client.sendall(b"unread")
                accepted.close()
                client.close()
            elif kind == 3:
                client.close()
                accepted.close()
            else:
                reset(client)
                reset(accepted)
            with running.connect("echo") as echo:
                echo.sendall(b"unread")
                if kind % 2:
                    reset(echo)
