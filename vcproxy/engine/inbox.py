"""Inbox: the only way by which other threads, and other engines, reach an engine."""

from collections import deque
from collections.abc import Callable


def no_wake() -> None:
    """Do nothing: there is no driver that could sleep."""


class Inbox:
    """Calls posted from any thread, made in order on the engine's own thread.

    The driver's obligation: set `sleeping` before it decides how long to poll, look at the inbox
    once more, poll, and clear `sleeping`; `wake` must end that poll from any thread. Then no post
    is missed while sleeping, and posting to a busy engine costs no system call.
    """

    __slots__ = ("calls", "fed", "sleeping", "wake")

    def __init__(self) -> None:
        self.calls: deque[Callable[[], None]] = deque()
        """Calls that engines have posted. Read-only for others."""
        self.fed: deque[Callable[[], None]] = deque()
        """Calls that were posted from outside of all engines. Read-only for others."""
        self.sleeping = False
        self.wake: Callable[[], None] = no_wake

    def post(self, call: Callable[[], None]) -> None:
        """Make `call` in the engine's next turn, for an engine. Any thread may post."""
        self.calls.append(call)
        if self.sleeping:
            self.wake()

    def feed(self, call: Callable[[], None]) -> None:
        """Make `call` in the engine's next turn, for a driver or other code outside of engines.

        It runs after all calls that engines have posted, so a recording contains only fed calls.
        """
        self.fed.append(call)
        if self.sleeping:
            self.wake()

    def drain(self) -> None:
        """Make the calls posted so far; later ones wait for the next turn."""
        for calls in (self.calls, self.fed):
            for _ in range(len(calls)):
                calls.popleft()()
