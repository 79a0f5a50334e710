"""The cost of watched files: a change that is reported, and the memory of a watch.

python -m tests.bench.watched_files KIND DIRECTORY     watches the files there, and counts changes
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
import tempfile
import time
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from struct import Struct

from vcproxy.drivers.epoll.driver import EpollDriver
from vcproxy.engine.continuation import Continuation
from vcproxy.engine.engine import Engine
from vcproxy.engine.mutex import Mutex
from vcproxy.engine.sources.file_changes import FileChanges, FileEvent

from .measure import cpu_s, resident_kib
from .peer import Peer
from .workloads import Sample, answer, load, order

FILES = 2000
RATE = 1000
"""Changes a second, at equal intervals."""

MODIFY = 0x2
READ = 64 * 1024


@dataclass(frozen=True, slots=True)
class WatchedFiles:
    """Changes of files, of which each must be reported. The cost is the CPU time of the watching
    process for each; or, with `memory`, its growth for each watch."""

    changes: int
    memory: bool
    rate_unit: str = "/s"

    @property
    def name(self) -> str:
        return "files-memory" if self.memory else "files"

    @property
    def title(self) -> str:
        what = "memory of a watch" if self.memory else f"{RATE} changes a second"
        return f"{FILES} watched files, {what}"

    @property
    def cost_unit(self) -> str:
        return "KiB" if self.memory else "us"

    def suits(self, peer: Peer) -> bool:
        return self.name in peer.only

    def measure(self, peer: Peer) -> Sample:
        """Measure once, with everything fresh. Raises Failed if a change is not reported."""
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            for number in range(FILES):
                Path(folder, f"{number}").write_text("")
            kind, module = peer.command[-1], "tests.bench.watched_files"
            with load(kind, folder, self.changes, module=module) as watching:
                answer(watching)
                before = resident_kib(watching.pid)
                order(watching)
                answer(watching)
                if self.memory:
                    return Sample((resident_kib(watching.pid) - before) / FILES)
                spent = cpu_s(watching.pid)
                seconds = change(folder, self.changes)
                answer(watching)
                spent = cpu_s(watching.pid) - spent
        return Sample(spent * 1e6 / self.changes, self.changes / seconds)


def workloads(seconds: float) -> dict[str, WatchedFiles]:
    """Every workload by name, in the sizes given."""
    every = [WatchedFiles(max(int(3 * RATE * seconds), 1), memory) for memory in (False, True)]
    return {workload.name: workload for workload in every}


def change(folder: str, count: int) -> float:
    """Write to the files in turn, at the rate; return the seconds that it took."""
    files = [os.open(f"{folder}/{number}", os.O_WRONLY) for number in range(FILES)]
    begin = time.perf_counter()
    for number in range(count):
        wait = begin + number / RATE - time.perf_counter()
        if wait > 0:
            time.sleep(wait)
        os.write(files[number % FILES], b"x")
    seconds = time.perf_counter() - begin
    for fd in files:
        os.close(fd)
    return seconds


class Counting(Continuation):
    """Watches files with this project, and counts the changes."""

    def __init__(self, engine: Engine, driver: EpollDriver, changes: int) -> None:
        super().__init__(engine, Mutex())
        self.left = changes
        self.driver = driver
        with self.mutex.hold(engine):
            self.files = FileChanges(self, "files")

    def watch(self, folder: str) -> None:
        """Watch the files."""
        with self.mutex.hold(self.engine):
            for number in range(FILES):
                self.files.watch(f"{folder}/{number}", FileEvent.WRITE)

    def handle_event(self, key: Hashable, data: object) -> None:
        """Count a change."""
        self.left -= 1
        if not self.left:
            self.driver.stop()


def with_this_project(folder: str, changes: int) -> None:
    """Watch with FileChanges."""
    engine = Engine("files", memory=64 << 20, random=Random(1), log=log)
    driver = EpollDriver(engine)
    counting = Counting(engine, driver, changes)
    driver.turn(0.0)
    print("ready", flush=True)
    sys.stdin.readline()
    counting.watch(folder)
    driver.turn(0.0)
    print("watching", flush=True)
    driver.run()


def with_a_bare_loop(folder: str, changes: int) -> None:
    """Watch with the system calls alone, as the smallest program would."""
    libc = ctypes.CDLL(None, use_errno=True)
    fd = libc.inotify_init1(os.O_CLOEXEC)
    print("ready", flush=True)
    sys.stdin.readline()
    watched = {}
    for number in range(FILES):
        path = f"{folder}/{number}"
        wd = libc.inotify_add_watch(fd, path.encode(), MODIFY)
        assert wd > 0, os.strerror(ctypes.get_errno())
        watched[wd] = path
    print("watching", flush=True)
    unpack, read, left = Struct("iIII").unpack_from, os.read, changes
    while left:
        data = read(fd, READ)
        place = 0
        while place < len(data):
            wd, mask, _, size = unpack(data, place)
            place += 16 + size
            left -= changed(watched[wd], mask)


def changed(path: str, mask: int) -> int:
    """Count a change."""
    return 1


def log(level: str, text: str, error: Exception | None = None) -> None:
    """Print warnings and errors: a measurement has none."""
    if level in ("warning", "error"):
        print(text, error, file=sys.stderr, flush=True)


KINDS = {"file-changes": with_this_project, "bare": with_a_bare_loop}


def main(kind: str, folder: str, changes: str) -> None:
    """Watch until all changes are reported."""
    KINDS[kind](folder, int(changes))
    print(json.dumps({"done": int(changes)}), flush=True)
    sys.stdin.readline()


if __name__ == "__main__":
    main(*sys.argv[1:])
