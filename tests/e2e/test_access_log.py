"""The access log of a running proxy: files, rotation, standard error."""

from __future__ import annotations

import json
import signal
import socket
from pathlib import Path
from typing import Any

from tests.e2e.conftest import Starter
from tests.e2e.running import ECHO, all_of, eventually
from vcproxy.testing.running import Running


def exchange(proxy: Running, data: bytes) -> str:
    """Send data to the echo service, get it back, close; return the client's own address."""
    with proxy.connect("echo") as client:
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        assert all_of(client) == data
        return "{}:{}".format(*client.getsockname())


def records(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def test_each_session_has_a_record_and_a_moved_file_is_opened_again(
    proxy: Starter, tmp_path: Path
) -> None:
    file = tmp_path / "access.log"
    running = proxy(f'[access_log]\nfile = "access.log"\n{ECHO}')
    clients = [exchange(running, b"x" * size) for size in (1, 10_000)]
    eventually(lambda: len(records(file)) == 2, "two records")
    file.rename(tmp_path / "old.log")
    running.signal(signal.SIGUSR1)
    eventually(file.exists, "a new file")
    clients.append(exchange(running, b"abc"))
    running.stop()
    found = [*records(tmp_path / "old.log"), *records(file)]
    assert [each["client"] for each in found] == clients
    assert [each["bytes_up"] for each in found] == [1, 10_000, 3]
    assert [each["bytes_down"] for each in found] == [1, 10_000, 3]
    assert {each["end"] for each in found} == {"--"}
    assert len({each["id"] for each in found}) == 3


def test_standard_error(proxy: Starter) -> None:
    running = proxy(f'[access_log]\nformat = "RECORD {{listener}} {{bytes_up}} {{end}}"\n{ECHO}')
    exchange(running, b"abc")
    running.wait_for("RECORD echo 3 --")
