"""LockContention: simulates other net threads that hold the mutexes of conversations.

Tested in tests/drivers/test_sim.py.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from vcproxy.engine.engine import Engine
from vcproxy.engine.log_function import Level

if TYPE_CHECKING:
    from vcproxy.drivers.sim.conditions import Conditions
    from vcproxy.engine.mutex import Mutex
    from vcproxy.engine.net import NetVConnection


class LockContention:
    """Acquires mutexes at random, wherever another net thread could hold one.

    Events for a conversation whose mutex is held are delivered after its release.
    """

    def __init__(self, network: Conditions) -> None:
        self._network = network
        self._engine = Engine("contender", memory=0, random=network.random, log=_discard_log)
        self._held: list[Mutex] = []

    def maybe_hold(self, vc: NetVConnection) -> None:
        """With the probability `lock_miss`, hold a VC's mutex for a time within `lock_s`."""
        network = self._network
        # No other engine can refer to a VC that is not open.
        if not vc.open or not network.happens(network.faults.lock_miss):
            return
        mutex = vc.mutex
        if mutex.try_acquire(self._engine):
            self._held.append(mutex)
            network.clock.after(network.span(network.faults.lock_s), partial(self._release, mutex))

    def release_all(self) -> None:
        """Release every mutex: between runs the script may acquire any of them."""
        while self._held:
            self._held.pop().release(self._engine)

    def _release(self, mutex: Mutex) -> None:
        if mutex in self._held:
            self._held.remove(mutex)
            mutex.release(self._engine)


def _discard_log(level: Level, text: str, error: Exception | None = None) -> None:
    """Discard a log line: this engine delivers no events."""
