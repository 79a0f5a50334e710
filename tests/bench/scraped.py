"""What a scrape of the metrics costs a proxy with many connections, and how long it stops it."""

from __future__ import annotations

import http.client
import json
import re
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from .measure import cpu_s, settle
from .peer import LOOPBACK, Failed, Peer, free_port, running
from .workloads import Sample, answer, load, order

TURNS = str(Path(__file__).with_name("turns.py"))
CONNECTIONS = 9_500
"""What 20,000 descriptors allow, with some to spare: the proxy keeps half of them for servers."""
SCRAPES = 10
PATIENCE_S = 20.0

CONFIG = """
[metrics]
bind = "tcp://127.0.0.1:$server"

[[listener]]
name = "bench"
bind = "tcp://127.0.0.1:$listen"
plugin = "echo"
limits = { max_connections = 20000 }
timeouts = { inactivity = "1h" }
"""

SCRAPED_PEERS = {
    "vcproxy-scraped": Peer(
        "vcproxy-scraped",
        (sys.executable, "-m", "$cli", "-c", "$config"),
        CONFIG,
        version=(sys.executable, "-m", "$cli", "--version"),
        needs="prometheus_client",
        only=("metrics-turn", "metrics-scrape"),
    )
}


@dataclass(frozen=True, slots=True)
class Scrapes:
    """Scrapes of a proxy with open connections. The cost is the CPU time of each."""

    connections: int
    name: str = "metrics-scrape"
    title: str = "scrape of the metrics, with open connections"
    cost_unit: str = "ms"
    rate_unit: str = "/s"

    def suits(self, peer: Peer) -> bool:
        return self.name in peer.only

    def measure(self, peer: Peer) -> Sample:
        """Measure once, with everything fresh. Raises Failed."""
        with self.connected(peer) as (pid, metrics):
            before = cpu_s(pid)
            rate = scrape(metrics, self.connections)
            settle(pid)
            return Sample((cpu_s(pid) - before) * 1e3 / SCRAPES, rate)

    @contextmanager
    def connected(self, peer: Peer) -> Iterator[tuple[int, int]]:
        """Run the peer with all connections, and a first scrape. Gives its process and its port for
        metrics."""
        metrics = free_port()
        with (
            running(peer, metrics) as (pid, port),
            load("idle", port, self.connections, 0) as clients,
        ):
            answer(clients)
            order(clients)
            answer(clients)
            settle(pid)
            scrape(metrics, self.connections)
            yield pid, metrics


@dataclass(frozen=True, slots=True)
class LongestTurn(Scrapes):
    """The same. The cost is the CPU time of the longest turn of the net thread meanwhile."""

    name: str = "metrics-turn"
    title: str = "longest turn while the metrics are scraped"

    def measure(self, peer: Peer) -> Sample:
        """Measure once, with everything fresh. Raises Failed."""
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            place = f"{folder}/turns"
            timed = (sys.executable, TURNS, place, *peer.command[2:])
            with self.connected(replace(peer, command=timed)) as (_, metrics):
                longest_s(place)
                rate = scrape(metrics, self.connections)
                return Sample(longest_s(place) * 1e3, rate)


def workloads() -> dict[str, Scrapes]:
    """Return the workloads by name."""
    return {work.name: work for work in (Scrapes(CONNECTIONS), LongestTurn(CONNECTIONS))}


def scrape(port: int, connections: int) -> float:
    """Scrape; return how many scrapes there were in a second. Raises Failed."""
    began = time.monotonic()
    with closing(http.client.HTTPConnection(LOOPBACK, port, timeout=PATIENCE_S)) as client:
        for _ in range(SCRAPES):
            client.request("GET", "/metrics", headers={"Accept": "application/openmetrics-text"})
            response = client.getresponse()
            text = response.read().decode()
            opened = re.search(r'vcproxy_listener_open{listener="bench"} (\d+)', text)
            if response.status != 200 or opened is None or int(opened[1]) < connections:
                raise Failed(f"status {response.status}, {opened and opened[0]}")
            time.sleep(0.1)  # the share of a processor that the control may use is limited
    return SCRAPES / (time.monotonic() - began)


def longest_s(place: str) -> float:
    """Return the longest turn since the last call."""
    with closing(socket.socket(socket.AF_UNIX)) as client:
        client.connect(place)
        return float(json.loads(client.recv(100)))
