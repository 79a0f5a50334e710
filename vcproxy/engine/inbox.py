"""Inbox: the one door through which other threads reach an engine, and engines each other."""

from collections import deque
from collections.abc import Callable


def no_wake() -> None:
    """There is no driver, or none any more, that could sleep."""


class Inbox:
    """Calls posted from any thread, made in order on the engine's own thread.

    The driver's obligation: set `sleeping` before it decides how long to poll, look at the inbox
    once more, poll, and clear `sleeping`; `wake` must end that poll from any thread. Then no post
    is slept through, and a busy engine costs its posters no system call.
    """

    __slots__ = ("calls", "fed", "sleeping", "wake")

    def __init__(self) -> None:
        self.calls: deque[Callable[[], None]] = deque()
        """What engines have posted and is not yet made: to be looked at, not touched."""
        self.fed: deque[Callable[[], None]] = deque()
        """The same, of what comes from outside of all engines."""
        self.sleeping = False
        self.wake: Callable[[], None] = no_wake

    def post(self, call: Callable[[], None]) -> None:
        """Have `call` made in the engine's next turn: an engine asks. Any thread may post."""
        self.calls.append(call)
        if self.sleeping:
            self.wake()

    def feed(self, call: Callable[[], None]) -> None:
        """The same for a driver, or whatever else is no part of an engine: behind all that engines
        have posted, so that a recording need only know what came from outside."""
        self.fed.append(call)
        if self.sleeping:
            self.wake()

    def drain(self) -> None:
        """Make the calls that were there when it began; later ones wait for the next turn."""
        for calls in (self.calls, self.fed):
            for _ in range(len(calls)):
                calls.popleft()()
