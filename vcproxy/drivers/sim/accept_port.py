"""SimAcceptPort: a listening stream socket of the simulated driver.

Tested in tests/drivers/test_sim.py.
"""

from __future__ import annotations

import errno
import os
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vcproxy.drivers.sim.driver import SimDriver
    from vcproxy.drivers.sim.network import Acceptor
    from vcproxy.engine.address import Address
    from vcproxy.engine.listener import Listener


class SimAcceptPort:
    """Accepts an Acceptor's connections for a listener. Driver and port refer to each other."""

    __slots__ = ("_acceptor", "_driver", "_listener", "_paused")

    def __init__(self, driver: SimDriver, acceptor: Acceptor, listener: Listener) -> None:
        self._driver = driver
        self._acceptor = acceptor
        self._listener = listener
        self._paused = False
        acceptor.on_edge = self._edge

    @property
    def address(self) -> Address:
        """The listening address."""
        return self._acceptor.address

    def resume(self) -> None:
        """Resume accepting."""
        self._paused = False
        self._accept()

    def close(self) -> None:
        """Stop listening; connections in the backlog are reset."""
        self._driver.network.unlisten(self._acceptor)

    def _edge(self) -> None:
        self._driver.complete_after((0.0, 0.0), self._accept)

    def _accept(self) -> None:
        """Accept the waiting connections, while the listener admits them."""
        driver, listener, backlog = self._driver, self._listener, self._acceptor.backlog
        network, errors = driver.network, driver.accept_errors
        while backlog and not self._paused:
            if not listener.admits():
                listener.warn_full()
                self._paused = True
            elif errors or network.happens(network.faults.accept_error):
                self._paused = True
                error = errors.popleft() if errors else _no_descriptor()
                driver.engine.accept_failed(listener, error)
            else:
                listener.count_accepted()
                tls = listener.tls if self.address.secure else None
                owner = driver.next_owner(listener)
                adopt = partial(owner.adopt, listener, backlog.popleft(), tls)
                owner.complete_after((0.0, 0.0), adopt)


def _no_descriptor() -> OSError:
    return OSError(errno.EMFILE, os.strerror(errno.EMFILE).lower())
