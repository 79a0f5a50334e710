"""TappedOneWay: a OneWayTunnel that also passes its bytes to a callback until that returns False.

The sink is not delayed: it is reenabled before the callback is called. Once the callback returns
False, source and sink are coupled again and may be bridged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vcproxy.engine.vio import couple
from vcproxy.tunnels.one_way import OneWayTunnel

if TYPE_CHECKING:
    from collections.abc import Callable

    from vcproxy.engine.continuation import Continuation
    from vcproxy.engine.iobuffer import Reader
    from vcproxy.engine.vconnection import VConnection


class TappedOneWay(OneWayTunnel):
    """Calls `on_data` with all bytes of the source, in order, until it returns False.

    See OneWayTunnel for the rest; it takes no transform.
    """

    __slots__ = ("_on_data", "_tap")

    def __init__(
        self,
        owner: Continuation,
        source: VConnection,
        sink: VConnection,
        *,
        on_data: Callable[[bytes], bool],
        **options: Any,
    ) -> None:
        super().__init__(owner, source, sink, **options)
        self._on_data = on_data
        self._tap: Reader | None = self._input.clone()

    def relaying(self) -> None:
        """Keep the two sides uncoupled, so that this machine gets every byte."""
        super().relaying()
        self.source.uncouple()

    def failing(self) -> None:
        """Keep them uncoupled for the rest of a failed source too."""
        super().failing()
        if self._tap is not None:
            self.source.uncouple()

    def _pump(self) -> None:
        self.sink.reenable()
        self.source.reenable()
        tap = self._tap
        if tap is not None and tap.avail and not self._on_data(tap.read()):
            tap.close()
            self._tap = None
            if not self.source.over:
                couple(self.source, self.sink)

    def done(self) -> None:
        """Close the tap, and give the VCs back."""
        if self._tap is not None:
            self._tap.close()
        super().done()
