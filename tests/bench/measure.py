"""CPU time and memory of a process and all its children, as counted by the kernel."""

import os
import time
from pathlib import Path

TICK_S = 1 / os.sysconf("SC_CLK_TCK")
QUIET = 0.02  # share of one core; an idle process with timers stays below it


def tree(pid: int) -> list[int]:
    """The process and its living descendants, itself first."""
    pids = [pid]
    for parent in pids:  # the loop appends to the list
        try:
            for thread in os.listdir(f"/proc/{parent}/task"):
                children = Path(f"/proc/{parent}/task/{thread}/children").read_text()
                pids.extend(map(int, children.split()))
        except OSError:  # it ended meanwhile
            continue
    return pids


def cpu_s(pid: int) -> float:
    """Return user and system time of the tree, with ended children that were waited for.

    Living processes are read by their CPU clocks: /proc rounds each down to a tick, which would
    favour a proxy of many processes.
    """
    total = 0.0
    for member in tree(pid):
        try:
            # clock_getcpuclockid(3): the clock of a process is ~pid shifted over CPUCLOCK_SCHED
            total += time.clock_gettime(~member << 3 | 2)
            stat = Path(f"/proc/{member}/stat").read_text()
        except OSError:  # it ended meanwhile
            continue
        # After the name, which may hold spaces: cutime and cstime are fields 16 and 17.
        total += sum(map(int, stat.rpartition(")")[2].split()[13:15])) * TICK_S
    return total


def resident_kib(pid: int) -> float:
    """Resident memory of the tree. Pages a child shares with others count once, in the parent."""
    total = 0
    for member in tree(pid):
        fields = ("Rss",) if member == pid else ("Private_Clean", "Private_Dirty")
        try:
            rollup = Path(f"/proc/{member}/smaps_rollup").read_text()
        except OSError:
            continue
        for line in rollup.splitlines()[1:]:
            name, _, value = line.partition(":")
            if name in fields:
                total += int(value.split()[0])
    return total


def sockets(pid: int) -> list[int]:
    """Return how many sockets each process of the tree has open, the most first."""
    held = []
    for member in tree(pid):
        links = Path(f"/proc/{member}/fd").iterdir()
        held.append(sum(os.readlink(link).startswith("socket:") for link in links))
    return sorted(held, reverse=True)


def forget_peak(pid: int) -> None:
    """Reset the peak memory of the process to its current memory."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")  # proc(5)


def peak_kib(pid: int) -> float:
    """The most memory the process, without its children, has held."""
    status = Path(f"/proc/{pid}/status").read_text()
    return float(status.partition("VmHWM:")[2].split()[0])


def settle(pid: int, quiet_s: float = 0.05, patience_s: float = 2.0) -> None:
    """Wait until the tree uses no more CPU: work in progress belongs to the measurement."""
    deadline = time.monotonic() + patience_s
    before = -1.0
    while abs((now := cpu_s(pid)) - before) > QUIET * quiet_s and time.monotonic() < deadline:
        before = now
        time.sleep(quiet_s)
