"""Clients of the bus door that do harm: a flood, a slow reader, an endless line, many connections.

The traffic goes on, and an operator still gets answers.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.e2e.conftest import Starter
from tests.e2e.running import ECHO, PATIENCE_S, Running, connect, eventually, exactly, free_port
from tests.e2e.test_control import ask, control, door
from vcproxy.control.bus_door import MAX_CONNECTIONS

SHARE_LIMIT = 0.3
"""Of a processor, for the thread of the door during a flood: three times what it allows itself."""


def cpu_s(running: Running) -> float:
    """Return the processor time of the thread of the door, the last one that was started, in
    seconds."""
    tasks = Path(f"/proc/{running.pid}/task").iterdir()
    door_thread = max(tasks, key=lambda task: int(task.name))
    fields = (door_thread / "stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def slow_sender(running: Running) -> socket.socket:
    """Return a client whose unread lines are few: the door reads them to the end when it closes."""
    client = socket.socket(socket.AF_UNIX)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    client.settimeout(PATIENCE_S)
    client.connect(door(running).removeprefix("unix:"))
    return client


@contextmanager
def flood(send: Callable[[], object]) -> Iterator[None]:
    """Call a function again and again, in a thread."""
    stopping = threading.Event()

    def run() -> None:
        with suppress(OSError):
            while not stopping.is_set():
                send()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()


def echoes(running: Running) -> None:
    """Check that the traffic goes on."""
    with running.connect("echo") as client:
        for _ in range(200):
            client.sendall(b"x" * 100)
            exactly(client, 100)


@pytest.mark.parametrize("line", [b"ALIVE\n", b"/ is no message\n", b"HELP\n"])
def test_a_flood_of_lines(proxy: Starter, line: bytes) -> None:
    running = proxy(ECHO)
    with slow_sender(running) as client:
        reader = threading.Thread(target=_read_all, args=(client,))
        reader.start()
        with flood(lambda: client.sendall(line * 10)):
            echoes(running)
            assert ask(door(running), "ALIVE").startswith("ABSOLUTELY")
        client.shutdown(socket.SHUT_RDWR)
        reader.join()


def test_a_flood_of_datagrams(proxy: Starter) -> None:
    port = free_port(socket.SOCK_DGRAM)
    running = proxy(control(f'bus = ["unix", "udp://127.0.0.1:{port}"]'))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(("127.0.0.1", port))
        with flood(lambda: sock.send(b"HELP")):
            echoes(running)
            assert ask(door(running), "ALIVE").startswith("ABSOLUTELY")
    running.idle_descriptors += 1


def test_a_flood_uses_a_small_share_of_a_processor(proxy: Starter) -> None:
    running = proxy(ECHO)
    ask(door(running), "ALIVE")
    began, before = os.times().elapsed, cpu_s(running)
    with slow_sender(running) as client:
        reader = threading.Thread(target=_read_all, args=(client,))
        reader.start()
        with flood(lambda: client.sendall(b"ALIVE\n" * 10)):
            eventually(lambda: os.times().elapsed - began > 3.0, "three seconds")
        client.shutdown(socket.SHUT_RDWR)
        reader.join()
    assert cpu_s(running) - before < SHARE_LIMIT * (os.times().elapsed - began)


def test_a_client_that_does_not_read(proxy: Starter) -> None:
    running = proxy(ECHO)
    ask(door(running), "ALIVE")
    before = running.resident()
    with slow_sender(running) as client:
        client.settimeout(1.0)
        with suppress(TimeoutError, ConnectionError):
            while True:
                client.sendall(b"HELP\n" * 1000)
        assert running.resident() - before < 16 << 20
        assert ask(door(running), "ALIVE").startswith("ABSOLUTELY")
        echoes(running)


def test_a_line_without_an_end(proxy: Starter) -> None:
    running = proxy(ECHO)
    with connect(door(running)) as client:
        with suppress(ConnectionError):
            client.sendall(b"A" * 1_000_000)
        received = b""
        with suppress(ConnectionError):
            while piece := client.recv(1000):
                received += piece
        assert received.startswith(b"INVALID message=")
    echoes(running)
    assert ask(door(running), "ALIVE").startswith("ABSOLUTELY")


def test_more_connections_than_it_takes(proxy: Starter) -> None:
    running = proxy(ECHO)
    clients = [connect(door(running)) for _ in range(2 * MAX_CONNECTIONS)]
    echoes(running)
    for client in clients:
        client.close()
    assert ask(door(running), "ALIVE").startswith("ABSOLUTELY")


def _read_all(client: socket.socket) -> None:
    client.settimeout(PATIENCE_S)
    with suppress(OSError):
        while client.recv(1 << 16):
            pass
