"""The command `python -m tests.bench`: measures peers in alternating rounds, and reports."""

import argparse
import resource
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from . import (
    bus,
    calls,
    framings,
    hl7,
    instructions,
    kills,
    messages,
    modbus,
    replayed,
    report,
    scraped,
    sentences,
    shown_connections,
    transport_streams,
    watched_files,
)
from . import workloads as tunnels
from .dispatching import Dispatching
from .framings import FRAMING_PEERS
from .hl7 import HL7_PEERS
from .http import workloads as http
from .http.peers import HTTP_PEERS
from .modbus import MODBUS_PEERS
from .peer import Failed, Peer
from .peers import DESCRIPTORS, MOST_TUNNELS, TUNNEL_PEERS
from .revision import BEFORE, ROOT
from .scraped import SCRAPED_PEERS
from .sentences import NMEA_PEERS
from .simulated_tree import SimulatedTree
from .transport_streams import TS_PEERS
from .workloads import Sample, Workload

ABOUT = """\
Measure vcproxy beside other proxies: CPU time or memory of each per unit of work. All
proxies of a run are measured in alternating rounds. Medians are reported. Ratios are comparable
between machines; absolute figures are not. The peers `before` are vcproxy itself at an earlier
revision. Workloads `calls-` and `instructions-` count calls of Python functions, and
instructions by callgrind: they hardly vary between runs, also on a busy machine.
`python -m tests.bench.calls` lists the functions. All is on loopback, and is stopped at the end. A
full run takes about half an hour; leave the machine alone meanwhile."""

EXAMPLES = """\
examples:
  python -m tests.bench --quick                       two minutes, rough figures
  python -m tests.bench -w bulk -p vcproxy,haproxy    one workload, two peers
  python -m tests.bench -w http --before HEAD~1       what the last commit changed
  python -m tests.bench -w speed,calls                requests, connections, bytes; no fans
  python -m tests.bench --out figures                 keep the JSON and the picture elsewhere

workloads: {workloads}
groups of workloads: {groups}
peers: {peers}

The exit status is 1 if a measurement failed. A missed goal is reported, no more."""

PEERS = TUNNEL_PEERS | HTTP_PEERS | SCRAPED_PEERS | HL7_PEERS | TS_PEERS | MODBUS_PEERS | NMEA_PEERS
PEERS |= FRAMING_PEERS

Key = tuple[str, str]
"""(workload, peer)"""


SPEED = (
    *("http", "http-unlike", "http-tls", "http-idle", "workers", "tls-full", "tls-resumed"),
    *("churn", "trips-50", "bulk", "idle", "replay", "replay-bulk", "start", "start-http"),
)
"""The workloads of requests, connections and bytes, without fans and plugins."""


def groups(known: Iterable[str]) -> dict[str, list[str]]:
    """Return the groups: the names of their workloads, by the name of the group."""
    return {
        "speed": [name for name in known if name in SPEED],
        **{
            kind: [name for name in known if name.startswith(f"{kind}-")]
            for kind in (
                "calls",
                "instructions",
                "messages",
                "lossy",
                "bus",
                "mllp",
                "mpegts",
                "modbus",
                "nmea",
                "framing",
            )
        },
    }


def workloads(bulk_gib: float, seconds: float, idle: int) -> dict[str, Workload]:
    """Return all workloads by name, with the sizes of the arguments."""
    every: dict[str, Workload] = {}
    every |= tunnels.workloads(bulk_gib, seconds, idle)
    every |= http.workloads(seconds, idle)
    every |= calls.workloads()
    every |= instructions.workloads()
    every |= replayed.workloads(bulk_gib, seconds)
    every |= messages.workloads(seconds)
    every |= modbus.workloads(seconds)
    every |= framings.workloads(seconds)
    every["machines-tree"] = SimulatedTree()
    every["bus-dispatch"] = Dispatching(seconds)
    every |= bus.workloads(seconds)
    every |= watched_files.workloads(seconds)
    every |= kills.workloads(seconds)
    every |= shown_connections.workloads()
    every |= scraped.workloads()
    every |= hl7.workloads(seconds)
    every |= transport_streams.workloads(seconds)
    every |= sentences.workloads(seconds)
    return every


def arguments() -> argparse.Namespace:
    known = workloads(1, 1, 1)
    parser = argparse.ArgumentParser(
        "python -m tests.bench",
        description=ABOUT,
        epilog=EXAMPLES.format(
            workloads=", ".join(known), groups=", ".join(groups(known)), peers=", ".join(PEERS)
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    option = parser.add_argument
    option(
        "-w",
        "--workloads",
        type=some_of(known, groups(known)),
        metavar="A,B",
        help="only these, or groups of them (all)",
    )
    option("-p", "--peers", type=some_of(PEERS), metavar="A,B", help="only these (all)")
    option("-r", "--rounds", type=positive(int), help="samples of each figure (3)")
    option("--bulk", type=positive(float), metavar="GiB", help="size of the bulk stream (1)")
    option("--seconds", type=positive(float), help="length of the other loads (1)")
    option("--idle", type=positive(int), metavar="N", help="idle tunnels and clients (4000)")
    option(
        "--before",
        default=BEFORE,
        metavar="REVISION",
        help=f"what the peers called `before` are: any revision in this clone ({BEFORE[:7]})",
    )
    option("--quick", action="store_true", help="1 round, small sizes")
    option(
        "--out",
        type=Path,
        metavar="DIR",
        help="where results.json, costs.png and ratios.png go (docs/bench for a full run; a run "
        "that is quick or chooses workloads or peers keeps nothing). The others there stay",
    )
    chosen = parser.parse_args()
    whole = not (chosen.quick or chosen.workloads or chosen.peers)
    usual = (1, 0.25, 0.3, 500) if chosen.quick else (3, 1.0, 1.0, 4000)
    for name, value in zip(("rounds", "bulk", "seconds", "idle"), usual, strict=True):
        if getattr(chosen, name) is None:
            setattr(chosen, name, value)
    chosen.workloads = chosen.workloads or list(known)
    chosen.peers = chosen.peers or list(PEERS)
    chosen.out = chosen.out or (ROOT / "docs" / "bench" if whole else None)
    return chosen


def some_of(
    known: Iterable[str], groups: Mapping[str, list[str]] | None = None
) -> Callable[[str], list[str]]:
    """Return a parser of names separated by commas; it returns them in the order of `known`."""
    names = list(known)

    def parse(text: str) -> list[str]:
        chosen = [name for word in text.split(",") for name in (groups or {}).get(word, [word])]
        if strange := [name for name in chosen if name not in names]:
            raise argparse.ArgumentTypeError(
                f"{', '.join(strange)}: not known; choose from {', '.join(names)}"
            )
        return [name for name in names if name in chosen]

    return parse


def positive(kind: Callable[[str], float]) -> Callable[[str], float]:
    def parse(text: str) -> float:
        value = kind(text)
        if value <= 0:
            raise argparse.ArgumentTypeError(f"{text} is not above 0")
        return value

    parse.__name__ = "number"  # argparse prints it in errors
    return parse


class Progress:
    """A line on standard error that is rewritten; nothing is written if it is not a terminal."""

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.done = 0
        self.begin = time.monotonic()
        self.shown = sys.stderr.isatty()

    def step(self, doing: str) -> None:
        if self.shown:
            bar = "#" * (30 * self.done // self.steps)
            left = "?"
            if self.done:
                spent = time.monotonic() - self.begin
                left = f"{spent / self.done * (self.steps - self.done):.0f} s"
            sys.stderr.write(f"\r\033[K[{bar:<30}] {left} left: {doing}")
            sys.stderr.flush()
        self.done += 1

    def clear(self) -> None:
        if self.shown:
            sys.stderr.write("\r\033[K")


def run(
    works: list[Workload], peers: list[Peer], rounds: int
) -> tuple[dict[Key, list[Sample]], dict[Key, str]]:
    """Measure; return the samples, and the reasons of failed measurements."""
    samples: defaultdict[Key, list[Sample]] = defaultdict(list)
    failures: dict[Key, str] = {}
    plan = [
        (work, turn, peer)
        for work in works
        for turn in range(
            1 if isinstance(work, calls.Counted | instructions.Instructions) else rounds
        )
        for peer in peers
        if work.suits(peer)
    ]
    progress = Progress(len(plan) or 1)
    try:
        for work, turn, peer in plan:
            key = (work.name, peer.name)
            progress.step(f"{work.title}, round {turn + 1} of {rounds}, {peer.name}")
            if key in failures:
                continue
            try:
                samples[key].append(work.measure(peer))
            except (Failed, OSError) as failure:
                failures[key] = str(failure)
    finally:
        progress.clear()
    return samples, failures


def terminated(*_: object) -> NoReturn:
    sys.exit(143)


def main() -> int:
    chosen = arguments()
    signal.signal(signal.SIGTERM, terminated)  # so that all started processes are stopped
    resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))  # for every child
    idle = min(int(chosen.idle), MOST_TUNNELS)
    known = workloads(chosen.bulk, chosen.seconds, idle)
    works = [known[name] for name in chosen.workloads]
    peers: list[Peer] = []
    print("Peers")
    for name in chosen.peers:
        peer = PEERS[name]
        if peer.revision:
            peer = replace(peer, revision=chosen.before)
        if why := peer.missing():
            print(f"  {name}: skipped, {why}")
        else:
            peers.append(peer)
    versions = {peer.name: peer.version_line() for peer in peers}
    for peer in peers:
        print(f"\n{versions[peer.name]}\n{peer.described()}")
    print(
        f"\n{chosen.rounds} rounds; bulk of {chosen.bulk:g} GiB, other loads of "
        f"{chosen.seconds:g} s, {idle} idle tunnels and clients; {report.machine()}",
        flush=True,
    )

    samples, failures = run(works, peers, int(chosen.rounds))
    results = {key: report.medians(every) for key, every in samples.items() if every}
    print(*report.table(works, peers, results, failures), sep="\n")
    print(*report.goals(works, peers, results), sep="\n")
    if chosen.out:
        kept = report.write_json(
            chosen.out / "results.json", works, versions, samples, results, failures
        )
        print(f"\nwritten: {chosen.out / 'results.json'}")
        try:
            report.draw(chosen.out / "costs.png", list(known.values()), list(PEERS.values()), kept)
            report.draw_ratios(chosen.out / "ratios.png", kept)
            print(f"drawn:   {chosen.out / 'costs.png'}, {chosen.out / 'ratios.png'}")
        except ImportError:
            print("not drawn: matplotlib is not installed (pip install matplotlib)")
    return 1 if failures else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
