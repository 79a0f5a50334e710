"""What a unit of work costs in instructions outside the kernel, as callgrind counts them.

Like calls, and unlike CPU time, they do not depend on what else the machine does; and they can be
compared with those of proxies in C. The load is that of `calls`.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from . import calls
from .calls import UNITS, WARM, Counted, serving
from .http.peers import DUTIES
from .measure import settle, tree
from .peer import Failed, Peer, running
from .workloads import Sample

CALLGRIND = (
    *("valgrind", "--quiet", "--tool=callgrind", "--trace-children=yes", "--instr-atstart=no"),
    "--callgrind-out-file={folder}/out.%p",
)
START_S = 120.0  # programs start twenty times as slowly
TOTAL = re.compile(r"^(?:summary|totals): (\d+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Instructions:
    """Instructions of the proxy, in thousands, for each unit of work."""

    name: str
    title: str
    work: Counted
    peers: tuple[str, ...]
    cost_unit: str = "k instr"
    rate_unit: str = ""

    def suits(self, peer: Peer) -> bool:
        return peer.name in self.peers

    def measure(self, peer: Peer) -> Sample:
        """Count once, with everything fresh. Raises Failed."""
        if not shutil.which("valgrind"):
            raise Failed("valgrind is not installed")
        with serving(self.work.server) as server, tempfile.TemporaryDirectory() as folder:
            valgrind = tuple(word.format(folder=folder) for word in CALLGRIND)
            slow = replace(peer, command=(*valgrind, *peer.command))
            with running(slow, server, START_S) as (pid, port), self.work.load(port) as unit:
                for number in range(WARM):
                    unit(number)
                settle(pid)
                worker = tree(pid)[-1]  # the process that serves: nginx forks one
                control(worker, "--instr=on")
                for number in range(WARM, WARM + UNITS):
                    unit(number)
                settle(pid)
                control(worker, "--dump")
                (dump,) = Path(folder).glob(f"out.{worker}.*")
                total = TOTAL.search(dump.read_text())
        if not total:
            raise Failed(f"callgrind has counted nothing: {dump.name}")
        return Sample(int(total[1]) / UNITS / 1e3)


def control(pid: int, order: str) -> None:
    """Send an order to a process that runs in callgrind. Raises Failed."""
    done = subprocess.run(
        ("callgrind_control", order, str(pid)), capture_output=True, text=True, check=False
    )
    if done.returncode or "OK" not in done.stdout:
        raise Failed(f"callgrind_control {order}: {(done.stdout + done.stderr).strip()}")


def workloads() -> dict[str, Instructions]:
    """Every workload by name."""
    tunnels = ("vcproxy", "before", "haproxy", "nginx", "uvloop-streams")
    ours = ("vcproxy-http", "before-http", "vcproxy-heads", "before-heads")
    http = (*ours, "haproxy-http", "nginx-http")
    tls = ("vcproxy-tls", "before-tls", "haproxy-tls", "nginx-tls")
    peers: dict[str, tuple[str, ...]] = {
        "trips": tunnels,
        "churn": (*tunnels, "vcproxy-access-log", "vcproxy-admission"),
        "sni": ("vcproxy-sni", "vcproxy-unrouted", "haproxy-sni", "nginx-sni"),
        "http": (*http, "direct-admission"),
        "http-unlike": http,
    }
    every = {}
    for counted in calls.workloads().values():
        kind = counted.name.removeprefix("calls-")
        name = f"instructions-{kind}"
        title = counted.title.replace("calls", "instructions")
        only: tuple[str, ...] = peers.get(kind, tls)
        if kind == "tls-resumed":
            # this peer resumes no session
            only = tuple(peer for peer in tls if peer != "before-tls")
        every[name] = Instructions(name, title, counted, only)
    duties = tuple(peer.name for peer in DUTIES if "redirect" not in peer.name)
    gets = calls.workloads()["calls-http"]
    title = "instructions: GET of 1 KiB, with a duty"
    every["instructions-duty"] = Instructions("instructions-duty", title, gets, duties)
    return every
