"""TappedOneWay: a OneWayTunnel that shows what goes through, for as long as somebody listens.

The sink is not kept waiting: it is woken first. With nobody listening any more the two sides are
coupled again, and may be bridged.
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
    """Calls `hear` with all that the source brings, in order, until it returns False.

    See OneWayTunnel for the rest; it takes no transform.
    """

    __slots__ = ("_hear", "_overheard")

    def __init__(
        self,
        owner: Continuation,
        source: VConnection,
        sink: VConnection,
        *,
        hear: Callable[[bytes], bool],
        **options: Any,
    ) -> None:
        super().__init__(owner, source, sink, **options)
        self._hear = hear
        self._overheard: Reader | None = self._input.clone()

    def relaying(self) -> None:
        """Let no byte by unheard."""
        super().relaying()
        self.source.uncouple()

    def failing(self) -> None:
        """Nor one of the rest."""
        super().failing()
        if self._overheard is not None:
            self.source.uncouple()

    def _pump(self) -> None:
        self.sink.reenable()
        self.source.reenable()
        overheard = self._overheard
        if overheard is not None and overheard.avail and not self._hear(overheard.read()):
            overheard.close()
            self._overheard = None
            if not self.source.over:
                couple(self.source, self.sink)

    def done(self) -> None:
        """Leave no reader behind."""
        if self._overheard is not None:
            self._overheard.close()
        super().done()
