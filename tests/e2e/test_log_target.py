"""A log with a slow or broken target, as an unread pipe or a full disk: traffic continues."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import Starter
from tests.e2e.running import ECHO, PATIENCE_S, VCPROXY, connect, eventually, exactly, refusing

DEAD = "dead" * 250
"""A listener whose name makes each line of the log longer than 1000 bytes."""

CLIENTS = 1500
"""Each causes a line of the log: together more than a pipe and the queue hold."""


def configuration(log: str = "") -> str:
    """An echo listener, and one whose server is missing: it logs a line for each client."""
    dead = f"""
[[listener]]
name = "{DEAD}"
bind = "tcp://127.0.0.1:0"
plugin = "forward"
upstream = "dead"

[upstream.dead]
servers = ["{refusing()}"]
"""
    return (f'[proxy]\nlog = "{log}"\n' if log else "") + ECHO + dead


def crowd(uri: str) -> None:
    """Connect CLIENTS times: the proxy closes each client and logs a line."""
    for _ in range(CLIENTS):
        with connect(uri) as client:
            try:
                assert client.recv(1) == b""
            except ConnectionResetError:
                pass


def echoes(uri: str) -> None:
    with connect(uri) as client:
        client.sendall(b"alive")
        assert exactly(client, 5) == b"alive"


def assert_accounted(lines: list[str]) -> None:
    """Check that for each client a line is in the log, or is counted as dropped."""
    text = "\n".join(lines)
    counts = re.findall(r"(\d+) lines? w\w+ dropped from the log: the queue was full", text)
    accounted = sum("no server is left" in line for line in lines) + sum(map(int, counts))
    assert counts
    assert accounted in (CLIENTS, CLIENTS + 1)  # "draining" may be dropped, too


Start = Callable[[str], subprocess.Popen[str]]


@pytest.fixture
def unread(tmp_path: Path) -> Iterator[Start]:
    """Start the program on a configuration; only the test reads its standard error."""
    started: list[subprocess.Popen[str]] = []

    def start(text: str) -> subprocess.Popen[str]:
        (tmp_path / "proxy.toml").write_text(text)
        process = subprocess.Popen(
            [*VCPROXY, "-c", str(tmp_path / "proxy.toml")], stderr=subprocess.PIPE, text=True
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        if process.stderr is not None and not process.stderr.closed:
            process.stderr.close()


def listening(process: subprocess.Popen[str]) -> dict[str, str]:
    """Read standard error until the program is ready; return the address of each listener."""
    assert process.stderr is not None
    found: dict[str, str] = {}
    while (line := process.stderr.readline()) != "ready\n":
        assert line, "the program has ended"
        if line.startswith("listening "):
            _, name, uri = line.split()
            found[name] = uri
    return found


def test_an_unread_standard_error_delays_no_client(unread: Start) -> None:
    process = unread(configuration())
    uris = listening(process)
    crowd(uris[DEAD])
    echoes(uris["echo"])
    assert process.stderr is not None
    process.send_signal(signal.SIGTERM)
    lines = process.stderr.read().splitlines()
    assert process.wait(PATIENCE_S) == 0
    assert_accounted(lines)


def test_an_unread_standard_error_does_not_delay_the_end(unread: Start) -> None:
    process = unread(configuration())
    crowd(listening(process)[DEAD])
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE_S) == 0


def test_an_unread_standard_error_does_not_delay_a_reload(unread: Start, tmp_path: Path) -> None:
    process = unread(configuration())
    crowd(listening(process)[DEAD])
    unix = tmp_path / "echo.sock"
    file = tmp_path / "proxy.toml"
    file.write_text(file.read_text().replace("tcp://127.0.0.1:0", f"unix:{unix}", 1))
    process.send_signal(signal.SIGHUP)
    eventually(unix.exists, "the new listener")
    echoes(f"unix:{unix}")


def test_a_log_in_an_unread_fifo_delays_no_client(proxy: Starter, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with open(os.open(fifo, os.O_RDONLY | os.O_NONBLOCK), encoding="utf-8") as reader:
        running = proxy(configuration("fifo"))
        crowd(running.uri(DEAD))
        running.signal(signal.SIGUSR1)
        echoes(running.uri("echo"))
        os.set_blocking(reader.fileno(), True)
        running.signal(signal.SIGTERM)
        assert_accounted(reader.read().splitlines())
        running.wait()
    assert running.log.splitlines()[-1] == "ready"


def test_a_full_disk_is_reported_once_on_standard_error(proxy: Starter) -> None:
    running = proxy(configuration("/dev/full"))
    crowd(running.uri(DEAD))
    echoes(running.uri("echo"))
    running.stop()
    assert "cannot write the log to /dev/full: no space left on device" in running.log
    assert running.log.count("\n") == 3  # two lines of listeners, "ready", and this


def test_a_broken_standard_error_delays_no_client(unread: Start) -> None:
    process = unread(configuration())
    uris = listening(process)
    assert process.stderr is not None
    process.stderr.close()
    crowd(uris[DEAD])
    echoes(uris["echo"])
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE_S) == 0


def test_a_closed_standard_error_is_not_reused_for_a_connection(
    proxy: Starter, tmp_path: Path
) -> None:
    """If a connection got the number of the closed descriptor, the log would be sent to a
    client."""
    unix = tmp_path / "echo.sock"
    text = configuration().replace("tcp://127.0.0.1:0", f"unix:{unix}", 1)
    (tmp_path / "proxy.toml").write_text(text)
    command = 'exec "$@" <&- >&- 2>&-'
    process = subprocess.Popen(
        ["sh", "-c", command, "sh", *VCPROXY, "-c", str(tmp_path / "proxy.toml")]
    )
    try:
        eventually(unix.exists, "the listener")
        eventually(lambda: _answers(unix), "an answer")
        for number in range(3):
            assert os.readlink(f"/proc/{process.pid}/fd/{number}") == "/dev/null"
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0
    finally:
        process.kill()
        process.wait()


def _answers(unix: Path) -> bool:
    try:
        echoes(f"unix:{unix}")
    except ConnectionRefusedError:  # bound, but not yet listening
        return False
    return True
