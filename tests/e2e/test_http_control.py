"""The HTTP door of a running proxy: its sockets, its token, and clients that do harm."""

from __future__ import annotations

import http.client
import json
import os
import socket
import stat
import subprocess
from contextlib import closing
from pathlib import Path

from tests.e2e.conftest import Starter
from tests.e2e.running import ECHO, PATIENCE_S, VCPROXY, Running, eventually, exactly


def control(*lines: str) -> str:
    """Return a configuration with a table [control]."""
    return "[control]\n" + "\n".join(lines) + "\n" + ECHO


def door(running: Running, scheme: str = "unix") -> str:
    """Return the path or the host and port of the HTTP door, from the log."""
    line = running.wait_for(rf"INFO control \(HTTP\) at {scheme}:.*$")
    return line.partition(f"{scheme}:")[2].removeprefix("//")


def request(
    where: str, method: str, path: str, body: str = "", **fields: str
) -> tuple[int, dict[str, object]]:
    """Send a request; return the status and the answer."""
    connection = http.client.HTTPConnection(
        where if ":" in where else "vcproxy", timeout=PATIENCE_S
    )
    if ":" not in where:
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(where)
    with closing(connection):
        connection.request(method, path, body or None, fields)
        response = connection.getresponse()
        return response.status, json.loads(response.read())


def test_the_default_socket_is_for_its_user_only(proxy: Starter) -> None:
    running = proxy(ECHO)
    path = door(running)
    assert path.endswith(f"/{running.pid}.ctl.sock")
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert request(path, "GET", "/v1/help")[0] == 200
    assert request(path, "POST", "/v1/STOP") == (200, {"reply": "STOPPING"})
    assert running.wait() == 0
    assert not Path(path).exists()


def test_a_token_is_made_for_tcp_and_removed_at_the_end(proxy: Starter) -> None:
    running = proxy(control('http = ["unix", "tcp://127.0.0.1:0"]'))
    where, path = door(running, "tcp"), Path(door(running))
    token = path.with_name(f"{running.pid}.token")
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    text = token.read_text().strip()
    assert len(text) >= 40
    assert request(where, "GET", "/v1/help")[0] == 401
    assert request(where, "GET", "/v1/help", Authorization=f"Bearer {text}")[0] == 200
    assert request(where, "GET", "/v1/help", Authorization=f"Bearer {text}", Host="a.b")[0] == 403
    assert request(str(path), "POST", "/v1/STOP")[0] == 200
    assert running.wait() == 0
    assert not token.exists()


def test_a_token_file_that_is_missing_is_made_and_used_again(
    proxy: Starter, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    for _ in range(2):
        running = proxy(control('http = "tcp://127.0.0.1:0"', f'token_file = "{file}"'))
        token = file.read_text().strip()
        where = door(running, "tcp")
        assert request(where, "POST", "/v1/STOP", Authorization=f"Bearer {token}")[0] == 200
        assert running.wait() == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_token_file_that_is_no_secret_is_an_error_at_the_start(tmp_path: Path) -> None:
    token, file = tmp_path / "token", tmp_path / "proxy.toml"
    file.write_text(control('http = "tcp://127.0.0.1:0"', 'token_file = "token"'))
    for mode, text, why in (
        (0o644, "x" * 32, "others may read it: chmod 600"),
        (0o600, "short", "it must have one token: at least 16 letters, digits and ._~+/-"),
        (0o600, "", "it must have one token"),
    ):
        token.write_text(text)
        token.chmod(mode)
        done = subprocess.run(
            [*VCPROXY, "-c", str(file)],
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert done.returncode == 1
        assert f"{file}: control.token_file: {token}: {why}" in done.stderr


def test_clients_that_do_harm_take_nothing_from_the_traffic(proxy: Starter) -> None:
    """Ten megabytes of command, and clients that never send, never read, or send what is no
    HTTP: meanwhile the proxy serves, and its control answers."""
    running = proxy(control('http = ["unix", "tcp://127.0.0.1:0"]'))
    where, path = door(running, "tcp"), door(running)
    host, _, port = where.rpartition(":")
    silent = [socket.create_connection((host, int(port))) for _ in range(40)]
    with closing(socket.create_connection((host, int(port)))) as large:
        large.sendall(b"POST /v1/STOP HTTP/1.1\r\nHost: localhost\r\n")
        large.sendall(b"Content-Length: 10485760\r\n\r\n")
        try:
            large.sendall(bytes(10 << 20))
        except OSError:  # it is refused before all was sent
            pass
    with closing(socket.create_connection((host, int(port)))) as other:
        other.sendall(b"\x16\x03\x01 a TLS client\r\n\r\n")
        assert other.recv(100).startswith(b"HTTP/1.1 400 ")
    assert request(where, "GET", "/v1/help")[0] == 401
    assert request(path, "GET", "/v1/help")[0] == 200
    with running.connect("echo") as client:
        client.sendall(b"x")
        assert exactly(client, 1) == b"x"
    for each in silent:
        each.close()
    eventually(lambda: request(path, "GET", "/v1/help")[0] == 200, "an answer")


def test_with_workers_the_master_answers(proxy: Starter) -> None:
    running = proxy("[proxy]\nworkers = 2\n" + ECHO)
    path = door(running)
    assert request(path, "POST", "/v1/RESTART") == (200, {"reply": "RESTARTED"})
    assert request(path, "POST", "/v1/RELOAD") == (
        200,
        {"reply": "RELOADED", "list": "listener echo: unchanged"},
    )
    assert request(path, "POST", "/v1/STOP")[0] == 200
    assert running.wait() == 0
