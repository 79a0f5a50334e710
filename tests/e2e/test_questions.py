"""The questions of the control, to a running proxy: every net thread and worker answers."""

from __future__ import annotations

import json
import os
import signal
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Starter
from tests.e2e.running import PATIENCE_S, Running, Server, connect, eventually, exactly, free_port
from tests.e2e.several import listener, served_by, two_workers, who, workers
from tests.e2e.test_control import ask, door
from vcproxy.bus.message.bus_message import BusMessage

TWO_THREADS = """
[proxy]
net_threads = 2

[[listener]]
name = "echo"
bind = "tcp://127.0.0.1:0"
plugin = "echo"
"""


def show(running: Running, question: str, **arguments: str) -> tuple[list[dict[str, Any]], str]:
    """Return the rows of a question, and what is missing."""
    given = "".join(f";{name}={value}" for name, value in arguments.items())
    reply = BusMessage.parse(ask(door(running), f"SHOW question={question}{given}"))
    assert reply.command == "ROWS", reply
    rows = [json.loads(line) for line in reply.text("list").splitlines()]
    assert reply.integer("count") == len(rows)
    return rows, reply.get("missing") or ""


def test_every_net_thread_answers(proxy: Starter) -> None:
    running = proxy(TWO_THREADS)
    with running.connect("echo") as one, running.connect("echo") as two:
        for each in (one, two):
            each.sendall(b"ping\n")
            assert each.recv(100) == b"ping\n"
        [row], missing = show(running, "listeners")
        assert missing == ""
        assert (row["open"], row["accepted"]) == (2, 2)
        assert (row["bytes_in"], row["bytes_out"]) == (10, 10)
        conns, _ = show(running, "conns")
        assert {each["thread"] for each in conns} == {"net-0", "net-1"}
        assert sorted(each["id"] for each in conns) == ["0-1", "1-1"]
        assert [each["id"] for each in show(running, "conns", id="1-1")[0]] == ["1-1"]
        [process], _ = show(running, "process")
        assert (process["pid"], process["connections"]) == (running.pid, 2)


def test_every_worker_answers(proxy: Starter, tmp_path: Path) -> None:
    running = proxy(two_workers(tmp_path))
    one, two = workers(running)
    with served_by(running, one), served_by(running, two):
        conns, missing = show(running, "conns")
        assert (sorted(each["id"][:4] for each in conns), missing) == (["1-0-", "2-0-"], "")
        processes, _ = show(running, "process")
        assert [each["role"] for each in processes] == ["master", "worker", "worker"]
        assert [each["pid"] for each in processes] == [running.pid, one, two]


def test_a_reload_is_explained(proxy: Starter, tmp_path: Path) -> None:
    running = proxy(two_workers(tmp_path))
    text = running.file.read_text()
    running.file.write_text(text + listener("more"))
    assert "listener more: new" in ask(door(running), "RELOAD")
    rows, _ = show(running, "reloads", worker="0", kind="listener")
    assert [(each["name"], each["result"]) for each in rows] == [
        ("who", "unchanged"),
        ("more", "new"),
    ]
    running.file.write_text(text.replace("tcp://127.0.0.1:0", "tcp://127.0.0.1:x"))
    assert ask(door(running), "RELOAD").startswith("NOT_RELOADED")
    rows, _ = show(running, "reloads", worker="0", name="who")
    assert (rows[0]["result"], rows[0]["generation"]) == ("kept", 2)
    assert "listener.who.bind" in rows[0]["error"]
    running.file.write_text(text)
    assert "listener more: removed" in ask(door(running), "RELOAD")


SECRETIVE = """
from dataclasses import dataclass

from vcproxy.api import Reject, Secret, Validator, lines


class Guard(Validator):
    @dataclass(frozen=True)
    class Options:
        token: Secret

    framing = lines(limit="1KiB")

    def check(self, message):
        return Reject(b"no\\n")
"""


def test_refused_messages_are_shown_without_secrets(proxy: Starter, tmp_path: Path) -> None:
    (tmp_path / "guard.py").write_text(SECRETIVE)
    running = proxy(f"""
[[listener]]
name = "guard"
bind = "tcp://127.0.0.1:0"
plugin = "{tmp_path / "guard.py"}"
upstream = "back"
options = {{ token = "s3cr3t" }}

[upstream.back]
servers = ["tcp://127.0.0.1:{free_port()}"]
""")

    def refuse() -> None:
        with running.connect("guard") as client:
            client.sendall(b"s3cr3t hidden open\n")
            assert exactly(client, 3) == b"no\n"

    refuse()
    text = running.file.read_text()
    running.file.write_text(text.replace("s3cr3t", "hidden"))
    assert ask(door(running), "RELOAD").startswith("RELOADED")
    refuse()
    rows, _ = show(running, "errors")
    assert [row["text"] for row in rows] == ["xxxxxx hidden open", "xxxxxx xxxxxx open"]


def test_a_worker_that_hangs_is_missing(proxy: Starter, tmp_path: Path) -> None:
    running = proxy(two_workers(tmp_path))
    _, two = workers(running)
    os.kill(two, signal.SIGSTOP)
    try:
        listeners, missing = show(running, "listeners")
        assert [each["worker"] for each in listeners] == [1]
        assert missing == "worker 2: no answer within 3s: it is busy"
    finally:
        os.kill(two, signal.SIGCONT)


FORWARD = """
[[listener]]
name = "front"
bind = "{bind}"
plugin = "forward"
upstream = "back"

[upstream.back]
servers = ["tcp://127.0.0.1:1", "{address}"]
balance = "least_connections"
"""


def reaches(front: str, server: Server) -> bool:
    """Whether a client is connected to the server."""
    with connect(front) as client:
        client.sendall(b"ping")
        with server.next() as connection:
            return exactly(connection, 4) == b"ping"


@pytest.mark.parametrize("workers", [1, 2])
def test_changes_are_made_in_all_workers(proxy: Starter, workers: int) -> None:
    with Server() as server:
        head = f"[proxy]\nworkers = {workers}\n" if workers > 1 else ""
        front = f"tcp://127.0.0.1:{free_port()}"  # a reload binds it again
        running = proxy(head + FORWARD.format(bind=front, address=server.uri))
        changed = ask(door(running), "SERVER name=back/tcp://127.0.0.1:1;state=maint")
        assert changed == "CHANGED list=back/tcp://127.0.0.1:1: state maint"
        assert all(reaches(front, server) for _ in range(4))
        states = [each["state"] for each in show(running, "servers")[0]]
        assert states == ["maint", "ready"] * workers
        with connect(front) as client, server.next() as connection:
            [conn], _ = show(running, "conns", kind="client")
            killed = ask(door(running), f"KILL conn={conn['id']}")
            assert killed == f"CHANGED list={conn['id']}: {conn['name']}"
            with pytest.raises(ConnectionResetError):
                assert client.recv(1)
            with suppress(ConnectionResetError):
                assert connection.recv(1) == b""
        assert ask(door(running), f"KILL conn={conn['id']}").startswith("NOT_CHANGED reason=there")
        if workers > 1:
            assert ask(door(running), "RESTART") == "RESTARTED"
            eventually(
                lambda: (
                    [each["state"] for each in show(running, "servers", weight="1")[0]]
                    == ["maint", "ready"] * 2
                ),
                "the new workers have the changes",
            )
        assert "front: accepts no more" in ask(door(running), "DRAIN listener=front")
        with pytest.raises(ConnectionRefusedError):
            connect(front)
        assert {each["state"] for each in show(running, "listeners")[0]} == {"drained"}
        assert ask(door(running), "LOG_LEVEL level=error").startswith("CHANGED")
        running.wait_for(r"front: accepts no more connections \(DRAIN\)", times=workers)
        running.wait_for("control: LOG_LEVEL level=error from ")
        log = running.log
        assert ask(door(running), "RELOAD").startswith("RELOADED")
        assert running.log.count("INFO") == log.count("INFO")
        assert reaches(front, server)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_connection_is_traced_as_its_events_happen(
    proxy: Starter, tmp_path: Path, workers: int
) -> None:
    text = two_workers(tmp_path).replace("workers = 2", f"workers = {workers}")
    running = proxy(text)
    path = door(running).removeprefix("unix:").replace(".sock", ".ctl.sock")
    with running.connect("who") as client, socket.socket(socket.AF_UNIX) as reader:
        pid = who(client)
        [conn], _ = show(running, "conns", kind="client")
        assert conn["id"].count("-") == workers
        reader.settimeout(PATIENCE_S)
        reader.connect(path)
        reader.sendall(f"GET /v1/trace/{conn['id']} HTTP/1.1\r\nHost: vcproxy\r\n\r\n".encode())
        received = until(reader, b"\r\n\r\n")
        assert b"200 OK" in received
        assert who(client) == pid
        until(reader, b'"event": "READ_READY"', f'"machine": "{conn["name"]}"'.encode())
        client.close()
        assert b"the connection is closed" in until(reader, b"event: end")
    with socket.socket(socket.AF_UNIX) as reader:
        reader.settimeout(PATIENCE_S)
        reader.connect(path)
        reader.sendall(f"GET /v1/trace/{conn['id']} HTTP/1.1\r\nHost: vcproxy\r\n\r\n".encode())
        assert b"404 " in until(reader, b"there is no such connection")


def until(reader: socket.socket, *texts: bytes) -> bytes:
    """Receive until all these texts have come, in any order, and what comes with them."""
    received = b""
    while not all(text in received for text in texts):
        data = reader.recv(65536)
        assert data, received
        received += data
    return received
