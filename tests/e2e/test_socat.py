"""socat on both sides: TCP, Unix sockets, standard input and output, and half-close."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.e2e.conftest import Starter, Tools
from tests.e2e.running import Server, all_of, exactly, forward, refusing


def count_bytes(tools: Tools, uri: str, listen: str) -> str:
    """Start a server that replies with the count of bytes it received; return its URI."""
    tools.serve(uri, "socat", f"{listen},fork", "SYSTEM:wc -c")
    return uri


def test_tcp_to_unix(proxy: Starter, tools: Tools, tmp_path: Path) -> None:
    path = tmp_path / "server.sock"
    running = proxy(forward(count_bytes(tools, f"unix:{path}", f"UNIX-LISTEN:{path}")))
    port = running.port("in")
    assert tools.run("socat", "-t", "9", "-", f"TCP:127.0.0.1:{port}", stdin=b"x") == b"1\n"


def test_unix_to_tcp(proxy: Starter, tools: Tools, tmp_path: Path) -> None:
    uri = refusing()
    port = uri.rpartition(":")[2]
    running = proxy(
        forward(count_bytes(tools, uri, f"TCP-LISTEN:{port},reuseaddr"), bind="unix:in.sock")
    )
    path = running.uri("in").removeprefix("unix:")
    data = b"y" * 1_000_000
    assert tools.run("socat", "-t", "9", "-", f"UNIX:{path}", stdin=data) == b"1000000\n"


def test_a_server_that_ends_first_still_receives(proxy: Starter) -> None:
    with Server() as server:
        running = proxy(forward(server.uri))
        with running.connect("in") as client, server.next() as accepted:
            accepted.sendall(b"goodbye")
            accepted.shutdown(1)
            assert all_of(client) == b"goodbye"
            client.sendall(b"one more thing")
            assert exactly(accepted, 14) == b"one more thing"
            client.close()
            assert all_of(accepted) == b""


def test_without_half_close_the_first_end_ends_both(proxy: Starter) -> None:
    with Server() as server:
        running = proxy(forward(server.uri, listener="half_close = false"))
        with running.connect("in") as client, server.next() as accepted:
            accepted.sendall(b"goodbye")
            accepted.shutdown(1)
            assert all_of(client) == b"goodbye"
            assert all_of(accepted) == b""


@pytest.mark.parametrize("size", [1, 5_000_000])
def test_standard_input_and_output(proxy: Starter, tools: Tools, size: int) -> None:
    uri = refusing()
    port = uri.rpartition(":")[2]
    count_bytes(tools, uri, f"TCP-LISTEN:{port},reuseaddr")
    running = proxy(forward(uri, bind="stdio:"), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert running.uri("in") == "stdio:"
    assert running.stdin is not None
    assert running.stdout is not None
    running.stdin.write(b"z" * size)
    running.stdin.close()
    assert running.stdout.read() == b"%d\n" % size
    assert running.wait() == 0  # the program ends with its only connection


def test_as_a_command_of_socat(tools: Tools, tmp_path: Path) -> None:
    """socat runs the proxy with one socket pair as standard input and output."""
    import sys

    uri = refusing()
    count_bytes(tools, uri, f"TCP-LISTEN:{uri.rpartition(':')[2]},reuseaddr")
    file = tmp_path / "stdio.toml"
    file.write_text(forward(uri, bind="stdio:"))
    output = tools.run(
        *("socat", "-t", "9", "-", f"EXEC:{sys.executable} -m vcproxy -c {file}"),
        stdin=b"12345",
    )
    assert b"5\n" in output.splitlines(keepends=True)
