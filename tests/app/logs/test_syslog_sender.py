"""The log at a log server: each kind of connection, servers that fail and come back."""

from __future__ import annotations

import re
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest
import trustme

from tests.e2e.running import PATIENCE_S, eventually, free_port
from vcproxy.app.logs.line_writer import QUEUE
from vcproxy.app.logs.log import LineLog
from vcproxy.config.log_target import SyslogServer
from vcproxy.engine.address import Address

Printed = pytest.CaptureFixture[str]


class StreamServer:
    """A log server for streams; `messages` are the texts received, without their heads."""

    def __init__(self, listening: socket.socket, context: ssl.SSLContext | None = None) -> None:
        self.messages: list[str] = []
        self._listening, self._context = listening, context
        listening.settimeout(PATIENCE_S)
        self._client: socket.socket | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            client = self._listening.accept()[0]
            client.settimeout(PATIENCE_S)
            if self._context is not None:
                client = self._context.wrap_socket(client, server_side=True)
        except OSError:
            return
        self._client = client
        with client, client.makefile("rb") as received:
            while size := length(received):
                self.messages.append(text(received.read(size)))

    def close(self) -> None:
        """End the connection and listen no more."""
        self._listening.close()
        if self._client is not None:
            try:
                self._client.shutdown(socket.SHUT_RDWR)
            except OSError:  # it has ended
                pass
        self._thread.join()


def length(received: IO[bytes]) -> int:
    """The length before a message; 0 at the end of the stream."""
    digits = b""
    while (octet := received.read(1)).isdigit():
        digits += octet
    assert octet == (b" " if digits else b"")
    return int(digits or 0)


def text(message: bytes) -> str:
    """The text of a message, after its head."""
    found = re.fullmatch(rb"<\d+>1 \S+ \S+ vcproxy \d+ - - (.*)", message, re.DOTALL)
    assert found, message
    return found[1].decode("utf-8-sig")


class Errors:
    """All that was printed on standard error."""

    def __init__(self, capfd: Printed) -> None:
        self._capfd = capfd
        self._read = ""

    @property
    def text(self) -> str:
        self._read += self._capfd.readouterr().err
        return self._read


@contextmanager
def logging_to(uri: str, ca: Path | None = None) -> Iterator[LineLog]:
    log = LineLog(SyslogServer(Address.parse(uri), ca=ca), "worker 1: ")
    try:
        yield log
    finally:
        log.close()


def listening(port: int = 0) -> socket.socket:
    return socket.create_server(("127.0.0.1", port))


def place(server: socket.socket) -> str:
    return f"127.0.0.1:{server.getsockname()[1]}"


# -- each kind ------------------------------------------------------------------------------------


def test_udp() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(PATIENCE_S)
        with logging_to(f"udp://{place(server)}") as log:
            log("info", "one")
            log("debug", "not logged")
            log("error", "two\nlines")
            assert text(server.recv(9000)) == "worker 1: one"
            assert text(server.recv(9000)) == "worker 1: two\n    lines"


def test_unix_datagrams(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(str(tmp_path / "log"))
        server.settimeout(PATIENCE_S)
        with logging_to(f"unix:{tmp_path}/log") as log:
            log("info", "one")
            assert text(server.recv(9000)) == "worker 1: one"


def test_a_unix_stream(tmp_path: Path) -> None:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "log"))
    listener.listen()
    server = StreamServer(listener)
    with logging_to(f"unix:{tmp_path}/log") as log:
        log("info", "one")
        log("info", "two")
        eventually(lambda: len(server.messages) == 2, "both")
    server.close()
    assert server.messages == ["worker 1: one", "worker 1: two"]


def test_tcp() -> None:
    listener = listening()
    server = StreamServer(listener)
    with logging_to(f"tcp://{place(listener)}") as log:
        for number in range(1000):
            log("info", f"{number} {'x' * (number % 100)}")
        eventually(lambda: len(server.messages) == 1000, "all")
    server.close()
    assert server.messages == [f"worker 1: {n} {'x' * (n % 100)}" for n in range(1000)]


def test_tls(tmp_path: Path, capfd: Printed) -> None:
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    authority.issue_cert("127.0.0.1").configure_cert(context)
    listener = listening()
    server = StreamServer(listener, context)
    with logging_to(f"tls://{place(listener)}", tmp_path / "ca.pem") as log:
        log("info", "one")
        log("info", "two")
        eventually(lambda: len(server.messages) == 2, "both")
    server.close()
    assert server.messages == ["worker 1: one", "worker 1: two"]
    assert capfd.readouterr().err == ""


def test_tls_of_a_server_that_is_not_trusted(capfd: Printed) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    listener = listening()
    server = StreamServer(listener, context)
    uri = f"tls://{place(listener)}"
    errors = Errors(capfd)
    with logging_to(uri) as log:
        log("info", "one")
        eventually(lambda: "cannot send" in errors.text, "the report")
    server.close()
    assert server.messages == []
    reason = "tls: certificate verify failed"
    assert f"cannot send the log to syslog:{uri}: {reason}; its lines wait" in errors.text


# -- servers that fail ----------------------------------------------------------------------------


def test_lines_wait_for_a_server_that_is_down(capfd: Printed) -> None:
    port = free_port()
    with logging_to(f"tcp://127.0.0.1:{port}") as log:
        for number in range(3):
            log("info", f"{number}")
        errors = Errors(capfd)
        eventually(lambda: "connection refused" in errors.text, "the report")
        server = StreamServer(listening(port))
        log("info", "3")
        eventually(lambda: len(server.messages) == 4, "all lines")
    server.close()
    assert server.messages == [f"worker 1: {number}" for number in range(4)]
    assert errors.text.count("\n") == 1
    assert errors.text.endswith(
        f"worker 1: cannot send the log to syslog:tcp://127.0.0.1:{port}: connection refused; its "
        "lines wait, and are dropped and counted when there are too many\n"
    )


def test_a_server_that_is_started_again_loses_nothing_that_is_logged_afterwards() -> None:
    listener = listening()
    port = listener.getsockname()[1]
    first = StreamServer(listener)
    with logging_to(f"tcp://127.0.0.1:{port}") as log:
        log("info", "one")
        eventually(lambda: len(first.messages) == 1, "the first")
        first.close()
        second = StreamServer(listening(port))
        log("info", "two")
        eventually(lambda: len(second.messages) == 1, "the second")
    second.close()
    assert (first.messages, second.messages) == (["worker 1: one"], ["worker 1: two"])


def test_reopening_connects_again() -> None:
    listener = listening()
    port = listener.getsockname()[1]
    first = StreamServer(listener)
    with logging_to(f"tcp://127.0.0.1:{port}") as log:
        log("info", "one")
        eventually(lambda: len(first.messages) == 1, "the first")
        listener.close()
        second = StreamServer(listening(port))
        log.reopen()
        log("info", "two")
        eventually(lambda: len(second.messages) == 1, "the second")
    first.close()
    second.close()


def test_what_does_not_fit_is_dropped_and_counted() -> None:
    port = free_port()
    with logging_to(f"tcp://127.0.0.1:{port}") as log:
        count = 3 * QUEUE // 1000
        for number in range(count):
            log("info", f"{number} {'x' * 1000}")
        server = StreamServer(listening(port))
        eventually(lambda: any("dropped" in each for each in server.messages), "the count")
    server.close()
    kept = [int(each.split()[2]) for each in server.messages if "dropped" not in each]
    [note] = [each for each in server.messages if "dropped" in each]
    found = re.match(r"worker 1: (\d+) lines were dropped from the log: the queue was full", note)
    assert found
    assert kept == list(range(len(kept)))
    assert len(kept) + int(found[1]) == count


def test_lines_that_are_left_at_the_end_are_reported(capfd: Printed) -> None:
    uri = f"tcp://127.0.0.1:{free_port()}"
    with logging_to(uri) as log:
        log("info", "one")
        log("info", "two")
    last = capfd.readouterr().err.splitlines()[-1]
    assert last.endswith(f"worker 1: lines of the log that were not sent to syslog:{uri}: 2")


def test_a_datagram_server_that_is_started_later() -> None:
    port = free_port(socket.SOCK_DGRAM)
    with logging_to(f"udp://127.0.0.1:{port}") as log:
        for number in range(3):
            log("info", f"{number}")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
            server.bind(("127.0.0.1", port))
            server.settimeout(PATIENCE_S)
            log("info", "last")
            while text(server.recv(9000)) != "worker 1: last":
                pass


def test_a_server_whose_name_does_not_exist(capfd: Printed) -> None:
    errors = Errors(capfd)
    with logging_to("tcp://no-such-host.invalid:514") as log:
        log("info", "one")
        eventually(lambda: "its address cannot be found: " in errors.text, "the report")


def test_a_log_without_a_line_connects_nowhere() -> None:
    with listening() as server, logging_to(f"tcp://{place(server)}"):
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.accept()


def test_an_end_does_not_wait_for_a_server_that_hangs() -> None:
    # it never reads; if closing waited for it, this test would not end
    with listening() as server, logging_to(f"tcp://{place(server)}") as log:
        for _ in range(3 * QUEUE // 1000):
            log("info", "x" * 1000)
