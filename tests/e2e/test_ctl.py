"""`vcproxy ctl` and a proxy that runs."""

from __future__ import annotations

import json
import socket
import subprocess
from pathlib import Path

from tests.e2e.conftest import Starter
from tests.e2e.running import ECHO, PATIENCE_S, VCPROXY, all_of, exactly
from tests.e2e.test_http_control import control, door


def ctl(*arguments: str, status: int = 0) -> str:
    """Run a command; return what it prints."""
    done = subprocess.run(
        [*VCPROXY, "ctl", *arguments],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == status, done.stderr
    return done.stdout if status == 0 else done.stderr


def test_questions_and_commands(proxy: Starter) -> None:
    running = proxy(ECHO)
    at = ("--pid", str(running.pid))
    with running.connect("echo") as client:
        client.sendall(b"x")
        assert exactly(client, 1) == b"x"
        [row] = json.loads(ctl("show", "conns", "--json", *at))["rows"]
        assert (row["listener"], row["bytes_in"], row["bytes_out"]) == ("echo", 1, 1)
        assert f"id         {row['id']}\n" in ctl("show", "conns", *at)
        assert ctl("show", "conns", "listener=other", *at) == "none\n"
    assert "conns" in ctl("show", *at)
    assert "bytes_in" in ctl("show", "conns", "--help-columns", *at)
    assert ctl("show", "process", "--columns", "pid", *at) == f"   pid\n{running.pid}\n".replace(
        "   pid", "pid".rjust(len(str(running.pid)))
    )
    assert f"  pid            {running.pid}\n" in ctl("status", *at)
    assert "there is no question `connections`" in ctl("show", "connections", *at, status=1)
    assert ctl("rotate", *at) == "log rotated\n"
    assert "this proxy has no workers to restart" in ctl("restart", *at, status=1)
    assert ctl("stop", *at) == "stopping\n"
    assert running.wait() == 0
    assert f"no proxy with the number {running.pid} has" in ctl("status", *at, status=3)


def test_a_reload_that_fails_is_status_1(proxy: Starter) -> None:
    running = proxy(ECHO)
    at = ("-c", str(running.file))
    assert ctl("reload", *at).startswith("reloaded\n")
    running.file.write_text("listener = 5")
    assert f"{running.file}:1:1: listener: " in ctl("reload", *at, status=1)
    running.file.write_text(ECHO)
    assert ctl("reload", *at).startswith("reloaded\n")


def test_over_tcp_with_the_token_of_the_configuration(proxy: Starter, tmp_path: Path) -> None:
    token = tmp_path / "token"
    running = proxy(control('http = "tcp://127.0.0.1:0"', f'token_file = "{token}"'))
    at = ("--at", f"tcp://{door(running, 'tcp')}")
    assert "serving" in ctl("status", "--token-file", str(token), *at)
    other = tmp_path / "other"
    other.write_text("a-token-that-is-another\n")
    assert "a token is required" in ctl("status", "--token-file", str(other), *at, status=2)


def test_answers_are_those_of_all_workers(proxy: Starter) -> None:
    running = proxy("[proxy]\nworkers = 2\n" + ECHO)
    at = ("--pid", str(running.pid))
    rows = json.loads(ctl("show", "process", "--json", *at))["rows"]
    assert [(row["worker"], row["role"]) for row in rows] == [
        (0, "master"),
        (1, "worker"),
        (2, "worker"),
    ]
    table = ctl("show", "listeners", *at).splitlines()
    assert [line.split()[:2] for line in table] == [
        ["worker", "listener"],
        ["1", "echo"],
        ["2", "echo"],
    ]
    assert ctl("restart", *at) == "restarted\n"


def test_a_trace_is_printed_while_it_happens(proxy: Starter) -> None:
    running = proxy(ECHO)
    at = ("--pid", str(running.pid))
    with running.connect("echo") as client:
        client.sendall(b"x")
        assert exactly(client, 1) == b"x"
        [row] = json.loads(ctl("show", "conns", "--json", *at))["rows"]
        with subprocess.Popen(
            [*VCPROXY, "ctl", "trace", row["id"], *at],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as tracing:
            assert tracing.stdout is not None
            assert tracing.stderr is not None
            assert tracing.stderr.readline() == "it is traced: Ctrl-C ends that\n"
            client.shutdown(socket.SHUT_WR)
            assert all_of(client) == b""
            client.close()
            assert " @ " in tracing.stdout.readline()
            assert tracing.wait(PATIENCE_S) == 0
            assert tracing.stderr.read() == "the connection is closed\n"
    assert "there is no such connection" in ctl("trace", "0-99", *at, status=1)
