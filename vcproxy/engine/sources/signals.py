"""Signals: the operating system's signals to this process, as a source of events.

Tested in tests/engine/sources/test_source.py.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vcproxy.engine.sources.source import PRIORITY, Source

if TYPE_CHECKING:
    from vcproxy.engine.continuation import Continuation

_NAMES = (
    "HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP "
    "TSTP TTIN TTOU URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS"
)
"""The names of Linux from 1 on, the same on x86 and Arm. The module `signal` is not used: see the
contract of the deterministic packages."""


def signal_name(number: int) -> str:
    """Return the name of a signal: 9 is "SIGKILL"; "signal 40" for one without a name."""
    names = _NAMES.split()
    return f"SIG{names[number - 1]}" if 0 < number <= len(names) else f"signal {number}"


@dataclass(frozen=True, slots=True)
class Signal:
    """A signal to this process."""

    number: int
    """The operating system's number: 2 is INT, 15 is TERM."""
    pid: int = 0
    """The process that sent the signal; 0: the kernel, as for a terminal, or unknown."""


class Signals(Source):
    """The signals of some numbers. The event: Signal.

    While it is open, they do not have their default effect: SIGTERM does not end the process.
    What else handles them goes on: SIGTERM stops a proxy. Several sources may take the same number:
    each gets it. Not all can be taken (SIGKILL, SIGSTOP), and only on the main thread, where
    programs run: otherwise there is an error in the log, and no signal.

    While it is disabled, it still takes them; one of each number is kept, as the kernel does for a
    blocked signal.
    """

    __slots__ = ("numbers",)

    def __init__(
        self, cont: Continuation, numbers: tuple[int, ...], priority: int = PRIORITY
    ) -> None:
        self.numbers = tuple(map(int, numbers))  # not members of an enumeration: plain data
        super().__init__(cont, "signals", priority)

    @property
    def request(self) -> str:
        """See Source."""
        return f"{super().request} {self.numbers}"

    @property
    def detail(self) -> str:
        """See Source."""
        return " ".join(map(signal_name, self.numbers))

    def keep(self, key: Hashable, event: object) -> None:
        """See Source. Of each number one is kept."""
        assert isinstance(event, Signal)
        if all(isinstance(kept, Signal) and kept.number != event.number for _, kept in self._kept):
            super().keep(key, event)
