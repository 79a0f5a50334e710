"""BlockingClient and send_datagram, against sockets of this test on other threads."""

from __future__ import annotations

import os
import socket
import ssl
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conformance.conftest import Contexts
from tests.conformance.conftest import contexts as contexts
from vcproxy.bus.connections.blocking_client import BlockingClient, send_datagram
from vcproxy.bus.message.bus_message import BusMessage
from vcproxy.bus.message.invalid_message import InvalidMessage

HELP = BusMessage("HELP")


class Answering:
    """A service for one client: it reads one line, sends an answer, and then waits for the end of
    the client, unless it `ends` first."""

    def __init__(
        self,
        sock: socket.socket,
        answer: bytes,
        *,
        ends: bool = False,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.received = b""
        self._sock = sock
        self._answer = answer
        self._ends = ends
        self._tls = tls
        self._thread = threading.Thread(target=self._serve)
        sock.settimeout(15)

    def __enter__(self) -> Answering:
        self._sock.listen()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join()
        self._sock.close()

    def _serve(self) -> None:
        client, _ = self._sock.accept()
        if self._tls is not None:
            try:
                client = self._tls.wrap_socket(client, server_side=True)
            except OSError:  # the client does not trust it
                client.close()
                return
        packets = client.type == socket.SOCK_SEQPACKET
        with client:
            client.settimeout(15)
            while not (self.received.endswith(b"\n") or (packets and self.received)):
                data = client.recv(65536)
                if not data:
                    return
                self.received += data
            client.sendall(self._answer)
            while not self._ends and client.recv(65536):
                pass


def on_unix(path: Path) -> tuple[socket.socket, str]:
    """Return a bound socket and its address."""
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(str(path))
    return sock, f"unix:{path}"


def on_tcp(_: Path) -> tuple[socket.socket, str]:
    """Return a bound socket and its address."""
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    return sock, f"tcp://127.0.0.1:{sock.getsockname()[1]}"


@pytest.mark.parametrize("bound", [on_unix, on_tcp])
def test_a_request_is_answered(
    bound: Callable[[Path], tuple[socket.socket, str]], tmp_path: Path
) -> None:
    sock, address = bound(tmp_path / "s")
    answer = b"NEWS\n\nCOMMANDS list=HELP,STOP\nMORE\n"
    with Answering(sock, answer) as service, BlockingClient(address) as client:
        reply = client.request(HELP, "COMMANDS")
        assert reply == BusMessage("COMMANDS", {"list": "HELP,STOP"})
        assert client.receive().command == "MORE"
    assert service.received == b"HELP\n"


def test_any_reply_is_returned_if_none_is_named(tmp_path: Path) -> None:
    sock, address = on_unix(tmp_path / "s")
    with Answering(sock, b"NEWS\n"), BlockingClient(address) as client:
        assert client.request(HELP).command == "NEWS"


def test_a_refusal_is_returned_too(tmp_path: Path) -> None:
    sock, address = on_unix(tmp_path / "s")
    with Answering(sock, b"UNKNOWN command=HELP\n"), BlockingClient(address) as client:
        assert client.request(HELP, "COMMANDS").command == "UNKNOWN"


def test_no_reply_in_time(tmp_path: Path) -> None:
    sock, address = on_unix(tmp_path / "s")
    with (
        Answering(sock, b"NEWS\n"),
        BlockingClient(address) as client,
        pytest.raises(TimeoutError, match=f"^{address}: no answer in time$"),
    ):
        client.request(HELP, "COMMANDS", timeout_s=0.1)


def test_the_service_ends_the_connection(tmp_path: Path) -> None:
    sock, address = on_unix(tmp_path / "s")
    with (
        Answering(sock, b"COMMANDS lis", ends=True),
        BlockingClient(address) as client,
        pytest.raises(ConnectionError, match=f"^{address}: the service has ended the conn"),
    ):
        client.request(HELP, "COMMANDS")
    with pytest.raises(ConnectionError, match=f"^{address}: it is closed$"):
        client.send(HELP)


def test_what_is_not_a_message_is_an_error(tmp_path: Path) -> None:
    sock, address = on_unix(tmp_path / "s")
    with (
        Answering(sock, b"COMMANDS list\n"),
        BlockingClient(address) as client,
        pytest.raises(InvalidMessage),
    ):
        client.request(HELP)


@pytest.mark.parametrize("end", [b"", b"\n"])
def test_a_line_over_64_kib_is_an_error(end: bytes, tmp_path: Path) -> None:
    sock, address = on_unix(tmp_path / "s")
    with (
        Answering(sock, b"A" * 65537 + end),
        BlockingClient(address) as client,
        pytest.raises(ConnectionError, match="the service sends a line of over 64KiB"),
    ):
        client.request(HELP)


def test_a_message_of_64_kib_is_received(tmp_path: Path) -> None:
    sock, address = on_unix(tmp_path / "s")
    with Answering(sock, b"A" * 65536 + b"\n"), BlockingClient(address) as client:
        assert client.request(HELP).command == "A" * 65536


def test_nothing_listens(tmp_path: Path) -> None:
    sock, address = on_unix(tmp_path / "s")
    sock.close()
    with pytest.raises(ConnectionRefusedError, match=f"^{address}: nothing listens there$"):
        BlockingClient(address)
    with pytest.raises(OSError, match=r"missing: there is no such file: start the service, or "):
        BlockingClient(f"unix:{tmp_path}/missing")


def test_an_address_of_another_kind_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^udp://127\.0\.0\.1:1: a BlockingClient needs tcp://"):
        BlockingClient("udp://127.0.0.1:1")
    with pytest.raises(ValueError, match=r"a datagram is sent to udp:// or unixgram:"):
        send_datagram("tcp://127.0.0.1:1", HELP)


def test_a_datagram_has_its_secret_code_and_its_limit() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as service:
        service.bind(("127.0.0.1", 0))
        service.settimeout(15)
        address = f"udp://127.0.0.1:{service.getsockname()[1]}"
        message = BusMessage("STOP", {"a": "1"})
        send_datagram(address, message)
        send_datagram(address, message, "abc")
        assert service.recv(2000) == b"STOP a=1"
        assert service.recv(2000) == b"STOP a=1;secret_code=abc"
        assert message == BusMessage("STOP", {"a": "1"})
        most = BusMessage("STOP", {"a": "x" * (1024 - 7)})
        send_datagram(address, most)
        assert len(service.recv(2000)) == 1024
        most.parameters["a"] += "x"
        with pytest.raises(ValueError, match="the message has 1025 bytes: at most 1024 can be"):
            send_datagram(address, most)


def test_tls(tmp_path: Path, contexts: Contexts) -> None:
    sock, address = on_tcp(tmp_path)
    address = address.replace("tcp", "tls")
    with (
        Answering(sock, b"COMMANDS list=HELP\n", tls=contexts.server) as service,
        BlockingClient(address, tls=contexts.client) as client,
    ):
        assert client.request(HELP, "COMMANDS").get("list") == "HELP"
    assert service.received == b"HELP\n"


def test_a_certificate_that_is_not_trusted(tmp_path: Path, contexts: Contexts) -> None:
    sock, address = on_tcp(tmp_path)
    address = address.replace("tcp", "tls")
    with (
        Answering(sock, b"", tls=contexts.server),
        pytest.raises(
            ConnectionError, match=f"^{address}: the peer's certificate is refused: unknown CA"
        ),
    ):
        BlockingClient(address)


def test_unix_packets(tmp_path: Path) -> None:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    sock.bind(str(tmp_path / "s"))
    with (
        Answering(sock, b"COMMANDS list=HELP", ends=True) as service,
        BlockingClient(f"unixpacket:{tmp_path}/s") as client,
    ):
        assert client.request(HELP, "COMMANDS").get("list") == "HELP"
        with pytest.raises(ConnectionError, match="the service has ended the connection"):
            client.receive()
    assert service.received == b"HELP"


def fill(client: BlockingClient, message: BusMessage) -> None:
    """Send until the pipe is full."""
    while True:
        client.send(message, timeout_s=0.05)


def test_a_fifo_takes_messages_only(tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    with pytest.raises(OSError, match="there is no such file"):
        BlockingClient(f"fifo:{path}")
    os.mkfifo(path)
    with pytest.raises(OSError, match="no process reads it: start the service first"):
        BlockingClient(f"fifo:{path}")
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        with BlockingClient(f"fifo:{path}") as client:
            client.send(HELP)
            assert os.read(reader, 1000) == b"HELP\n"
            with pytest.raises(ConnectionError, match="it only takes messages"):
                client.receive()
            large = BusMessage("LARGE", {"value": "x" * 60_000})
            with pytest.raises(TimeoutError, match=f"^fifo:{path}: no answer in time$"):
                fill(client, large)
            os.close(reader)
            reader = -1
            with pytest.raises(BrokenPipeError):
                client.send(HELP)
    finally:
        if reader >= 0:
            os.close(reader)
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="it is not a FIFO"):
        BlockingClient(f"fifo:{tmp_path}/file")
