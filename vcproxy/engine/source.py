"""Source: what an engine waits for besides connections.

A driver passes in what happens there with one call, `engine.happened(source, event)`. So every
kind of source is recorded, replayed and simulated in the same way. The kinds: ChildProcess,
Datagrams, Signals.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from vcproxy.engine.commands import CloseSource, OpenSource

if TYPE_CHECKING:
    from vcproxy.engine.continuation import Continuation
    from vcproxy.engine.mutex import Mutex


class Source:
    """One source of events, from its creation to `close()`.

    The driver opens it at the end of the turn. Its continuation gets each event under its mutex,
    with the event's class as the key; events are plain dataclasses, with the name of the source in
    `name`. It is not a continuation itself: it is the ticket of its events, as a VIO is of its own.

    It is closed with its conversation: when a callback fails, or a program is stopped.
    """

    __slots__ = ("cont", "engine", "live", "name", "number", "pending")

    last: ClassVar[tuple[type, ...]] = ()
    """The events after which nothing more happens: the driver has forgotten the source then."""
    at_once: ClassVar[type | None] = None
    """The class of events that come while the driver reads, before the events of a turn are
    delivered; None: there is none. Where `engine.direct` allows it, they are not queued."""
    delays_stop: ClassVar[bool] = False
    """Whether a proxy that drains waits for the end of such a source, as for connections."""

    def __init__(self, cont: Continuation, name: str) -> None:
        """Open it on the engine of `cont`, whose mutex is held. Raises LockNotHeld."""
        cont.mutex.require(f"{type(self).__name__}()")
        self.engine = cont.engine
        self.cont: Continuation | None = cont
        self.name = name
        self.live = True
        """Whether events are delivered: until `close()`."""
        self.pending = False
        self.engine.source_count += 1
        self.number = self.engine.source_count
        """Counts the sources of an engine; recordings identify a source by it."""
        self.engine.sources[self.number] = self
        self.engine.command(OpenSource(self))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.number} {self.name}>"

    @property
    def mutex(self) -> Mutex | None:
        """The mutex of its continuation; None: it is closed."""
        return None if self.cont is None else self.cont.mutex

    @property
    def request(self) -> str:
        """What the driver is asked to open, as text: equal in a replay. To be extended."""
        return f"{type(self).__name__} {self.name}"

    def close(self) -> None:
        """Close it: nothing is delivered any more, not even what is queued. May be repeated."""
        if self.cont is None:
            return
        self.cont.mutex.require("close()")
        self.live = False
        self.cont = None
        if self.engine.sources.pop(self.number, None) is not None:  # it had not ended
            self.engine.command(CloseSource(self))
