"""The processes of this system, by number and by name, as /proc lists them (proc(5))."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePath

PROC = "/proc"

_INTERPRETER = re.compile(r"(python|perl|ruby|node|bash|dash|sh)[\d.]*")

_WITH_VALUE = {"-W", "-X"}
"""Options of Python whose value is the next word."""


@dataclass(frozen=True)
class ProcessEntry:
    """A process as it was when it was looked up."""

    pid: int
    user: int
    """The number of its user: the real one, which may send it signals (kill(2))."""
    state: str
    """R, S, D: it runs or waits; T: it was stopped by a signal; Z: it has ended."""
    short_name: str
    """The name that the kernel has: at most 15 bytes of the name of its file."""
    command: tuple[str, ...]
    """Its command line; threads of the kernel have none."""

    @property
    def names(self) -> set[str]:
        """The names by which it is found: as `ps` and `pidof -x` use them.

        That of the kernel, the file name of the command, and, if that is an interpreter, the file
        name of the script or the name of the module that it runs.
        """
        found = {self.short_name}
        if self.command:
            program = PurePath(self.command[0]).name
            found.add(program)
            if _INTERPRETER.fullmatch(program):
                found.add(_script(self.command[1:]))
        return found - {""}

    def __str__(self) -> str:
        return f"{self.pid} ({' '.join(self.command) or self.short_name})"


def _script(words: Sequence[str]) -> str:
    """Return the name of what an interpreter runs; "" if that has none."""
    waiting = iter(words)
    for word in waiting:
        if word == "-m":
            return next(waiting, "")
        if word in _WITH_VALUE:
            next(waiting, "")
        elif word == "-c" or not word.startswith("-"):
            return "" if word == "-c" else PurePath(word).name
    return ""


def find_process(pid: int) -> ProcessEntry | None:
    """Return the process of a number; None: there is none, or it is not visible to this user."""
    try:
        with open(f"{PROC}/{pid}/status", "rb") as file:
            status = dict(line.split(b":", 1) for line in file if b":" in line)
        with open(f"{PROC}/{pid}/cmdline", "rb") as file:
            command = file.read()
    except OSError:  # it has ended meanwhile (ESRCH), or /proc hides it (hidepid)
        return None
    words = command.rstrip(b"\0").split(b"\0") if command else []
    return ProcessEntry(
        pid,
        int(status[b"Uid"].split()[0]),
        os.fsdecode(status[b"State"].split()[0]),
        os.fsdecode(status[b"Name"].strip()),
        tuple(os.fsdecode(word) for word in words),
    )


def named(name: str) -> Iterator[ProcessEntry]:
    """Yield the processes of a name that have not ended, by number; this process is not one."""
    own = os.getpid()
    for pid in sorted(int(each) for each in os.listdir(PROC) if each.isdecimal()):
        entry = find_process(pid)
        if entry and pid != own and entry.state != "Z" and name in entry.names:
            yield entry
