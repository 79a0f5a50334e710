"""All data that a peer sent before the end of its connection is delivered."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import ssl
import termios
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from time import monotonic

import pytest

from tests.e2e.conftest import Certificates, Starter
from tests.e2e.running import PATIENCE_S, PIECE, Server, eventually, exactly, fill, forward, reset

MESSAGE = os.urandom(12 << 20)
"""More than the kernel buffers: the connection ends while the tunnel is full."""

Settings = pytest.mark.parametrize(
    "settings", ["splice = false", "splice = true"], ids=["copied", "bridged"]
)


def sent(sock: socket.socket, data: bytes) -> None:
    """Send data, and wait until the peer has received it: a reset discards the rest."""
    sock.settimeout(PATIENCE_S)
    sock.sendall(data)

    def taken() -> bool:
        return fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4)) == bytes(4)

    eventually(taken, "the peer has received the data")


def until_it_breaks(sock: socket.socket) -> tuple[bytes, str]:
    """Return all data received, and how the connection ends."""
    received = bytearray()
    try:
        while piece := sock.recv(1 << 16):
            received += piece
    except ConnectionResetError:
        return bytes(received), "reset"
    return bytes(received), "ended"


def same(got: tuple[bytes, str], wanted: bytes, end: str) -> None:
    """Compare without printing all the bytes."""
    data, how = got
    assert len(data) == len(wanted)
    assert data == wanted
    assert how == end


def tls(certificates: Certificates) -> tuple[str, ssl.SSLContext]:
    """A listener's `tls`, and a client that trusts it."""
    certificate, key = certificates.issue("localhost")
    trusting = ssl.create_default_context(cafile=str(certificates.ca))
    return f'tls = {{ certificate = "{certificate}", key = "{key}" }}', trusting


@Settings
@pytest.mark.parametrize("size", [5, 100_000, len(MESSAGE)])
def test_a_client_that_resets_after_its_data(proxy: Starter, settings: str, size: int) -> None:
    message = MESSAGE[:size]
    with Server() as server, ThreadPoolExecutor() as thread:
        running = proxy(f"[proxy]\n{settings}\n" + forward(server.uri))
        client = running.connect("in")
        with server.next() as accepted:
            sending = thread.submit(sent, client, message)
            first = exactly(accepted, size * 3 // 4)
            sending.result(PATIENCE_S)
            reset(client)
            data, how = until_it_breaks(accepted)
            same((first + data, how), message, "reset")


@Settings
def test_a_server_that_resets_after_its_reply(proxy: Starter, settings: str) -> None:
    with Server() as server, ThreadPoolExecutor() as thread:
        running = proxy(f"[proxy]\n{settings}\n" + forward(server.uri))
        with running.connect("in") as client:
            client.sendall(b"unread")
            with server.next() as accepted:
                accepted.recv(1, socket.MSG_PEEK)
                sending = thread.submit(sent, accepted, MESSAGE)
                first = exactly(client, len(MESSAGE) * 3 // 4)
                sending.result(PATIENCE_S)
            data, how = until_it_breaks(client)
            same((first + data, how), MESSAGE, "reset")


@Settings
def test_a_unix_server_that_closes_with_the_request_unread(
    proxy: Starter, tmp_path: Path, settings: str
) -> None:
    with socket.socket(socket.AF_UNIX) as server, ThreadPoolExecutor() as thread:
        server.bind(str(tmp_path / "server"))
        server.listen()
        server.settimeout(PATIENCE_S)
        running = proxy(f"[proxy]\n{settings}\n" + forward(f"unix://{tmp_path}/server"))
        with running.connect("in") as client:
            client.sendall(b"unread")
            accepted, _ = server.accept()

            def answer() -> None:
                with accepted:
                    accepted.recv(1, socket.MSG_PEEK)
                    accepted.settimeout(PATIENCE_S)
                    accepted.sendall(MESSAGE)

            answering = thread.submit(answer)
            first = exactly(client, len(MESSAGE) * 3 // 4)
            answering.result(PATIENCE_S)
            data, how = until_it_breaks(client)
            same((first + data, how), MESSAGE, "reset")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_tls_client_that_closes_without_close_notify(
    proxy: Starter, certificates: Certificates, version: ssl.TLSVersion
) -> None:
    listener, trusting = tls(certificates)
    trusting.minimum_version = trusting.maximum_version = version
    with Server() as server, ThreadPoolExecutor() as thread:
        running = proxy(forward(server.uri, bind="tls://127.0.0.1:0", listener=listener))
        plain = running.connect("in")
        client = trusting.wrap_socket(plain, server_hostname="localhost")

        def send_and_close() -> None:
            client.settimeout(PATIENCE_S)
            client.sendall(MESSAGE)
            client.shutdown(socket.SHUT_WR)  # FIN alone

        with server.next() as accepted:
            sending = thread.submit(send_and_close)
            first = exactly(accepted, len(MESSAGE) * 3 // 4)
            data, how = until_it_breaks(accepted)
            same((first + data, how), MESSAGE, "reset")
            sending.result(PATIENCE_S)
        client.close()


@Settings
def test_a_reset_after_a_full_buffer_is_detected_while_the_server_stalls(
    proxy: Starter, settings: str
) -> None:
    with Server() as server:
        running = proxy(f"[proxy]\n{settings}\n" + forward(server.uri))
        client = running.connect("in")
        with server.next() as accepted:
            fill(client)
            reset(client)
            began = monotonic()
            running.wait_for("a connection failed .*connection reset by peer")
            assert monotonic() - began < 2.0  # one second on an idle machine
            until_it_breaks(accepted)


@pytest.mark.parametrize("end", ["fin", "reset"])
def test_an_end_within_a_tls_record(proxy: Starter, certificates: Certificates, end: str) -> None:
    """The data of complete records is delivered."""
    listener, trusting = tls(certificates)
    with Server() as server:
        running = proxy(forward(server.uri, bind="tls://127.0.0.1:0", listener=listener))
        plain = running.connect("in")
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = trusting.wrap_bio(incoming, outgoing, server_hostname="localhost")
        while True:
            try:
                client.do_handshake()
                break
            except ssl.SSLWantReadError:
                plain.sendall(outgoing.read())
                incoming.write(plain.recv(1 << 16))
        plain.sendall(outgoing.read())
        with server.next() as accepted:
            client.write(MESSAGE[: 16 << 10])
            client.write(MESSAGE[16 << 10 : 32 << 10])
            sent(plain, outgoing.read()[:-5])
            if end == "fin":
                plain.shutdown(socket.SHUT_WR)
            else:
                reset(plain)
            same(until_it_breaks(accepted), MESSAGE[: 16 << 10], "reset")
        plain.close()


@pytest.mark.parametrize("sign", [signal.SIGHUP, signal.SIGTERM], ids=["reload", "drain"])
def test_a_signal_between_the_reset_and_the_last_byte(proxy: Starter, sign: signal.Signals) -> None:
    with Server() as server, ThreadPoolExecutor() as thread:
        running = proxy(forward(server.uri))
        client = running.connect("in")
        with server.next() as accepted:
            sending = thread.submit(sent, client, MESSAGE)
            first = exactly(accepted, len(MESSAGE) * 3 // 4)
            sending.result(PATIENCE_S)
            reset(client)
            running.signal(sign)
            data, how = until_it_breaks(accepted)
            same((first + data, how), MESSAGE, "reset")
        if sign == signal.SIGTERM:
            assert running.wait() == 0


def test_many_clients_that_reset_at_once_while_the_server_stalls(proxy: Starter) -> None:
    """Their ends are detected at the same time, not one after the other."""
    crowd = 200
    with Server(backlog=crowd) as server:
        running = proxy(forward(server.uri))
        clients = [running.connect("in") for _ in range(crowd)]
        servers = [server.next() for _ in range(crowd)]
        for client in clients:
            client.setblocking(False)
            with suppress(BlockingIOError):
                while client.send(PIECE):
                    pass
        began = monotonic()
        for client in clients:
            reset(client)
        running.wait_for("a connection failed .*connection reset by peer", crowd)
        assert monotonic() - began < 10.0  # two seconds on an idle machine
        for accepted in servers:
            accepted.close()


def test_reset_downloads_are_not_read_on(proxy: Starter) -> None:
    crowd, pipe = 16, 1 << 20
    with Server(backlog=crowd) as server, ThreadPoolExecutor() as thread:
        running = proxy(forward(server.uri))
        clients = [running.connect("in") for _ in range(crowd)]
        servers = [server.next() for _ in range(crowd)]
        list(thread.map(fill, servers))
        before = read_by(running.pid)
        for client in clients:
            reset(client)
        running.wait_for("a connection failed", crowd)
        assert read_by(running.pid) - before < crowd * pipe // 4
        for accepted in servers:
            accepted.close()


def read_by(pid: int) -> int:
    """Bytes that a process has read by read(2), which reads pipes; recv(2) does not count."""
    return int(Path(f"/proc/{pid}/io").read_text().split()[1])
