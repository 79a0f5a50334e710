"""Signals: the operating system's signals to this process, as a source of events.

Tested in tests/engine/test_source.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vcproxy.engine.source import Source

if TYPE_CHECKING:
    from vcproxy.engine.continuation import Continuation


@dataclass(frozen=True, slots=True)
class Signal:
    """A signal to this process."""

    number: int
    """The operating system's number: 2 is INT, 15 is TERM."""
    pid: int = 0
    """The process that sent the signal; 0: the kernel, as for a terminal, or unknown."""


class Signals(Source):
    """The signals of some numbers. The event: Signal.

    While it is open, these signals have no other effect on the process: SIGTERM does not end it.
    Several sources may take the same number: each gets it.
    """

    __slots__ = ("numbers",)

    def __init__(self, cont: Continuation, numbers: tuple[int, ...]) -> None:
        self.numbers = numbers
        super().__init__(cont, "signals")

    @property
    def request(self) -> str:
        """See Source."""
        return f"{super().request} {self.numbers}"
