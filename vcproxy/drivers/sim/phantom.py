"""Phantom: an engine that does nothing but get in the way, as other net threads do."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from vcproxy.engine.engine import Engine, Level

if TYPE_CHECKING:
    from vcproxy.drivers.sim.network import Network
    from vcproxy.engine.mutex import Mutex
    from vcproxy.engine.net import NetVConnection


class Phantom:
    """Takes mutexes of conversations by chance, at any place where another thread might.

    What misses them comes back when they are released.
    """

    def __init__(self, network: Network) -> None:
        self._network = network
        self._engine = Engine("phantom", memory=0, random=network.random, log=_log)
        self._holding: list[Mutex] = []

    def visit(self, vc: NetVConnection) -> None:
        """Perhaps hold a VC's mutex from now on, for a while."""
        network = self._network
        # A VC that is not open is not known to any other engine yet.
        if not vc.open or not network.happens(network.faults.lock_miss):
            return
        mutex = vc.mutex
        if mutex.try_acquire(self._engine):
            self._holding.append(mutex)
            network.timeline.after(
                network.span(network.faults.lock_s), partial(self._let_go, mutex)
            )

    def leave(self) -> None:
        """Hold nothing: between runs the script may take every mutex."""
        while self._holding:
            self._holding.pop().release(self._engine)

    def _let_go(self, mutex: Mutex) -> None:
        if mutex in self._holding:
            self._holding.remove(mutex)
            mutex.release(self._engine)


def _log(level: Level, text: str, error: Exception | None = None) -> None:
    """A phantom has nothing to say."""
