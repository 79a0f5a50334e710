"""The questions of the control, to a running proxy: every net thread and worker answers."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

from tests.e2e.conftest import Starter
from tests.e2e.running import Running
from tests.e2e.several import served_by, two_workers, workers
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
        [listener], missing = show(running, "listeners")
        assert missing == ""
        assert (listener["open"], listener["accepted"]) == (2, 2)
        assert (listener["bytes_in"], listener["bytes_out"]) == (10, 10)
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
