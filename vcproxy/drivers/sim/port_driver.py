"""PortDriver: the part of the simulated driver that its ports use.

Tested with the driver, in tests/drivers/test_sim.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from vcproxy.engine.engine import Engine
    from vcproxy.engine.net import NetVConnection


class EdgeHandler(Protocol):
    """A port, or the watch of a datagram socket."""

    def ready(self) -> None:
        """Handle an edge, in the turn after it."""


class PortDriver(Protocol):
    """The part of the driver that ports use."""

    engine: Engine
    ready_ports: dict[EdgeHandler, None]
    """Ports and watches with an edge since the last turn."""
    pid: int
    """The pid of its simulated process; 0: it is none."""
    max_sessions: int | None
    """The most datagram sessions of an address; None: any number."""

    def edge(self, handler: EdgeHandler) -> None:
        """Let a port, or the watch of a datagram socket, handle an edge in the next turn."""

    def complete(self, call: Callable[[], object]) -> None:
        """Run `call` in the next turn."""

    def maybe_hold(self, vc: NetVConnection) -> None:
        """With the probability `lock_miss`, let another thread hold a VC's mutex."""

    def trace_call(self, call: str, vc: NetVConnection, *detail: object) -> None:
        """Add a driver call to the trace, if there is one. To be called before the call is made."""
