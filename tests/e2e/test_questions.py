"""The questions of the control, to a running proxy: every net thread and worker answers."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

from tests.e2e.conftest import Starter
from tests.e2e.running import Running
from tests.e2e.several import listener, served_by, two_workers, workers
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
