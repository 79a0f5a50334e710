"""The cost of `show conns` with 10,000 connections, while round trips go on.

python -m tests.bench.shown_connections CONFIGURATION     a proxy that measures its own turns
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vcproxy.app.control.runtime_directory import http_socket
from vcproxy.control.questions.slices import Slices

from .measure import settle
from .peer import Failed, Peer, running
from .workloads import Sample, answer, load, order

CONNECTIONS = 10_000

BUSY = 16
"""Connections beside these that make round trips all the time."""

TRIPS_S = 3.0


@dataclass(frozen=True, slots=True)
class ShownConnections:
    """The whole answer with all connections. The cost is the CPU time of the longest part of a turn
    of the net thread that it took; or, `whole`, the time until all of the answer had arrived. The
    rate is that of the round trips in this time, with their latencies."""

    connections: int
    """Half of them to clients, half to their servers."""
    whole: bool
    rate_unit: str = "trips/s"

    @property
    def name(self) -> str:
        return "show-conns-answer" if self.whole else "show-conns"

    @property
    def title(self) -> str:
        what = "the whole answer" if self.whole else "the longest turn"
        return f"show conns of {self.connections} connections, {what}"

    @property
    def cost_unit(self) -> str:
        return "s" if self.whole else "ms"

    def suits(self, peer: Peer) -> bool:
        return self.name in peer.only

    def measure(self, peer: Peer) -> Sample:
        """Measure once, with everything fresh. Raises Failed."""
        with (
            load("echo") as server,
            running(peer, int(answer(server))) as (pid, port),
            load("idle", port, self.connections // 2, 0) as idle,
            load("trips", port, BUSY, TRIPS_S) as busy,
        ):
            answer(idle)
            order(idle)
            answer(idle)
            answer(busy)
            settle(pid)
            ask(pid, "process")  # the modules are imported with the first question
            with suppress(FileNotFoundError):
                turns_file(pid).unlink()
            order(busy)
            time.sleep(TRIPS_S / 6)
            begin = time.perf_counter()
            rows = ask(pid, "conns")
            seconds = time.perf_counter() - begin
            if len(rows) < self.connections:
                raise Failed(f"only {len(rows)} connections were shown")
            figures = json.loads(answer(busy))
            longest = json.loads(turns_file(pid).read_text())
            turns_file(pid).unlink()
        return Sample(
            seconds if self.whole else longest * 1000,
            figures["done"] / figures["seconds"],
            figures.get("p50_us"),
            figures.get("p99_us"),
        )


def workloads() -> dict[str, ShownConnections]:
    """Every workload by name."""
    every = [ShownConnections(CONNECTIONS, whole) for whole in (False, True)]
    return {workload.name: workload for workload in every}


class UnixConnection(http.client.HTTPConnection):
    """A connection to the control of a proxy."""

    def __init__(self, path: str) -> None:
        super().__init__("vcproxy", timeout=60.0)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def ask(pid: int, question: str) -> list[dict[str, Any]]:
    """Return the rows of a question."""
    connection = UnixConnection(str(http_socket(pid)))
    connection.request("GET", f"/v1/show/{question}")
    got = connection.getresponse().read()
    connection.close()
    answered = json.loads(got)
    if answered.get("missing") or answered.get("error"):
        raise Failed(f"{answered.get('missing')} {answered.get('error')}")
    rows: list[dict[str, Any]] = answered["rows"]
    return rows


def turns_file(pid: int) -> Path:
    """Return the file in which a proxy leaves the longest part of its turns, in seconds."""
    return Path(tempfile.gettempdir(), f"vcproxy-bench-{pid}.json")


def measured(turn: Callable[[Slices], None]) -> Callable[[Slices], None]:
    """Return a turn of a question that measures itself; the longest one so far is in the file."""
    longest = 0.0

    def timed(slices: Slices) -> None:
        nonlocal longest
        begin = time.thread_time()  # without the time that other processes had
        turn(slices)
        spent = time.thread_time() - begin
        file = turns_file(os.getpid())
        if not file.exists():  # a new measurement
            longest = 0.0
        if spent > longest:
            longest = spent
            file.write_text(json.dumps(longest))

    return timed


def main() -> None:
    """Serve."""
    from vcproxy.app.cli import main as serve

    Slices._turn = measured(Slices._turn)  # type: ignore[method-assign, assignment]
    sys.exit(serve(["-c", sys.argv[1]]))


if __name__ == "__main__":
    main()
