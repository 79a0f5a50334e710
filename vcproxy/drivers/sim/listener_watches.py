"""Listener watches of the simulated driver: it looks at the listeners of the simulated network.

Tested in tests/conformance/test_listener_watch.py.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vcproxy.drivers.sim.network import Network
    from vcproxy.drivers.sim.port_driver import PortDriver
    from vcproxy.engine.sources.listening import ListenerWatch


class SimListenerWatch:
    """Looks at one address."""

    def __init__(self, driver: PortDriver, network: Network, source: ListenerWatch) -> None:
        self._driver = driver
        self._network = network
        self._source = source
        self._seen: bool | None = None
        self._round = 0  # a look that was planned for an earlier one is not made
        self.set_watched(True)

    def set_watched(self, watched: bool) -> None:
        """Look now and at intervals, or no more."""
        self._round += 1
        if watched:
            self._look(self._round)

    def close(self) -> None:
        """Look no more."""
        self.set_watched(False)

    def _look(self, turn: int) -> None:
        if turn != self._round:
            return
        source, network = self._source, self._network
        listening = network.listens(source.address)
        if listening is not self._seen:
            self._seen = listening
            happened = self._driver.engine.happened
            self._driver.complete(partial(happened, source, source.event(listening)))
        network.clock.after(source.every_s, partial(self._look, turn))
