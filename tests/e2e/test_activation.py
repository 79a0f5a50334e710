"""Sockets that a service manager has bound, with one process and with several."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest

from tests.e2e.conftest import Starter
from tests.e2e.several import WHO, listener, who, workers

ACTIVATE = """
import os, socket, sys
listening = socket.create_server(("127.0.0.1", int(sys.argv[1])))
local = socket.socket(socket.AF_UNIX)
local.bind(sys.argv[2])
local.listen()
kept = [os.dup(sock.fileno()) for sock in (listening, local)]  # above those used next
for number, descriptor in enumerate(kept, 3):
    os.dup2(descriptor, number)
os.environ.update(LISTEN_FDS="2", LISTEN_PID=str(os.getpid()))
os.execv(sys.argv[3], sys.argv[3:])
"""
"""A program that binds a port and a path, and runs a command with both sockets, as systemd does."""


@pytest.mark.parametrize("count", [1, 2])
def test_sockets_of_a_service_manager_are_used_and_stay(
    proxy: Starter, tmp_path: Path, count: int
) -> None:
    (tmp_path / "who.py").write_text(WHO)
    path = tmp_path / "who.sock"
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    text = f"[proxy]\nworkers = {count}\n" + listener(bind=f"tcp://127.0.0.1:{port}")
    text += listener("local", "unix:who.sock")
    activate = (sys.executable, "-c", ACTIVATE, str(port), str(path))
    running = proxy(text, wrapper=activate)
    expected = set(workers(running)) or {running.pid}
    served: set[int] = set()
    while served != expected:
        for name in ("who", "local"):
            with running.connect(name) as client:
                served.add(who(client))
    assert "WARNING" not in running.log
    running.stop()
    assert path.is_socket(), "the service manager keeps it"
