"""Listener: who is made for a connection that comes in, and how many there may be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vcproxy.engine.commands import ResumeAccept

if TYPE_CHECKING:
    from vcproxy.engine.continuation import Continuation
    from vcproxy.engine.engine import Engine
    from vcproxy.engine.net import NetVConnection


@dataclass(slots=True, eq=False)
class Listener:
    """One listening address. Its connections may belong to several engines.

    The driver's obligations: ask `admits()` before each accept and stop accepting when it says
    no, until ResumeAccept; report a failed accept by `engine.accept_failed`.
    """

    name: str
    acceptor: Callable[[NetVConnection], Continuation]
    """Makes the continuation that gets ACCEPT. It may be exchanged while running."""
    home: Engine
    """The engine whose driver accepts."""
    secure: bool = False
    handshake_s: float = 10.0
    """Seconds for a handshake, 0 for no limit (with `secure`)."""
    max_connections: int = 10_000
    closed: bool = False
    _open: dict[Engine, int] = field(default_factory=dict)
    _paused: bool = False

    @property
    def open(self) -> int:
        """Connections accepted and not yet gone."""
        return sum(self._open.values())

    def admits(self) -> bool:
        """Whether one more may be accepted; if not, ResumeAccept comes when one may."""
        self._paused = self.open >= self.max_connections
        return not self._paused

    def came(self, engine: Engine) -> None:
        """Count a connection of that engine's. Each engine writes its own count only."""
        self._open[engine] = self._open.get(engine, 0) + 1

    def went(self, engine: Engine) -> None:
        """A connection of that engine's is gone."""
        self._open[engine] -= 1
        if self._paused:
            self.home.inbox.post(self._resume)

    def _resume(self) -> None:
        if self._paused and self.open < self.max_connections:
            self._paused = False
            self.home.command(ResumeAccept(self))
