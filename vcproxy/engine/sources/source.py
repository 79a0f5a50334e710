"""Source: what an engine waits for besides connections.

A driver passes in what happens there with one call, `engine.happened(source, event)`. So every
kind of source is recorded, replayed and simulated in the same way. The kinds are the subclasses of
Source; docs/how-to/events.md has an example of each.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, ClassVar

from vcproxy.engine.commands import CloseSource, DisableSource, EnableSource, OpenSource

if TYPE_CHECKING:
    from vcproxy.engine.continuation import Continuation
    from vcproxy.engine.mutex import Mutex

PRIORITY = 100
"""The priority of sources that have no other, and of all events of connections and timers. It
leaves room for more urgent and less urgent ones; eventdispatcher has the same default."""

LARGEST_PRIORITY = 255


class Source:
    """One source of events, from its creation to `close()`.

    The driver opens it at the end of the turn. Its continuation gets each event under its mutex,
    with the event's class as the key; events are plain dataclasses, with the name of the source in
    `name`. It is not a continuation itself: it is the ticket of its events, as a VIO is of its own.

    It is closed with its continuation: when a machine or session reaches its final state, or a
    program is stopped; and with its conversation, when a callback fails.
    """

    __slots__ = (
        "_kept",
        "_priority",
        "cont",
        "engine",
        "live",
        "name",
        "number",
        "opened_at",
        "pending",
    )

    last: ClassVar[tuple[type, ...]] = ()
    """The events after which nothing more happens: the driver has forgotten the source then."""
    at_once: ClassVar[type | None] = None
    """The class of events that come while the driver reads, before the events of a turn are
    delivered; None: there is none. Where `engine.direct` allows it, they are not queued."""
    delays_stop: ClassVar[bool] = False
    """Whether a proxy that drains waits for the end of such a source, as for connections."""
    driven: ClassVar[bool] = True
    """Whether a driver opens and watches it. False: its events come from the engine itself."""

    def __init__(self, cont: Continuation, name: str, priority: int = PRIORITY) -> None:
        """Open it on the engine of `cont`, whose mutex is held. Raises LockNotHeld, and ValueError
        for a priority that is not 0 to 255."""
        cont.mutex.require(f"{type(self).__name__}()")
        self.engine = cont.engine
        self.cont: Continuation | None = cont
        """What gets the events; None: it is closed."""
        self.name = name
        self.priority = priority
        self.live = True
        """Whether events are delivered: not while it is disabled, and not after `close()`."""
        self.pending = False
        self._kept: list[tuple[Hashable, object]] = []
        self.opened_at = self.engine.now
        """The engine's time at its creation."""
        self.number = self.engine.sources.add(self, cont)
        """Counts the sources of an engine; recordings identify a source by it."""
        if self.driven:
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

    @property
    def detail(self) -> str:
        """What it waits for, for lists of sources: a path, an address, a pid. To be replaced."""
        return ""

    # -- priority ----------------------------------------------------------------------------

    @property
    def priority(self) -> int:
        """0 to 255: of what a driver passes in within one turn, lower ones are delivered first.

        Events of connections and timers count as 100, the default. Events of equal priority stay
        in the order in which they came. What is passed on without an event (see `engine.direct`)
        is not ordered. Raises ValueError when it is set to another value.
        """
        return self._priority

    @priority.setter
    def priority(self, value: int) -> None:
        if not 0 <= value <= LARGEST_PRIORITY:
            raise ValueError(
                f"{self.name}: {value} is no priority: they are 0 to {LARGEST_PRIORITY}"
            )
        self._priority = value
        if value != PRIORITY:
            self.engine.prioritized = True

    # -- enabling and disabling --------------------------------------------------------------

    @property
    def enabled(self) -> bool:
        """Whether it was not disabled. A closed one is as it was before."""
        return self.live or self.cont is None

    def disable(self) -> None:
        """Deliver nothing until `enable()`. The driver stops watching, where that loses nothing.

        What the driver had passed in already is kept, and delivered by `enable()`. May be repeated.
        Raises LockNotHeld.
        """
        if self.cont is None or not self.live:
            return
        self.cont.mutex.require("disable()")
        self.live = False
        self.set_watched(False)

    def enable(self) -> None:
        """Deliver events again; those that were kept come first. May be repeated.

        Raises LockNotHeld.
        """
        if self.cont is None or self.live:
            return
        self.cont.mutex.require("enable()")
        self.live = True
        kept, self._kept = self._kept, []
        if kept:
            self.engine.deliver_first(self.cont.mutex, [(self, key, event) for key, event in kept])
        self.set_watched(True)

    def set_watched(self, enabled: bool) -> None:
        """Let the driver watch it, or not. Sources without a driver replace this."""
        if self.number in self.engine.sources:  # it has not ended
            self.engine.command((EnableSource if enabled else DisableSource)(self))

    def queue(self, event: object) -> None:
        """Queue an event that the engine itself has caused; others come by `engine.happened`."""
        engine = self.engine
        key: type = type(event)
        engine.queue.append((self, key, event))
        engine.unordered = engine.prioritized

    def keep(self, key: Hashable, event: object) -> None:
        """Keep an event that came while it is disabled. Sources whose driver goes on watching
        replace this, so that what they keep is bounded."""
        self._kept.append((key, event))

    # -- closing -----------------------------------------------------------------------------

    def close(self) -> None:
        """Close it: nothing is delivered any more, not even what is queued. May be repeated."""
        if self.cont is None:
            return
        self.cont.mutex.require("close()")
        was_open = self.engine.sources.remove(self, self.cont)
        self.live = False
        self.cont = None
        self._kept = []
        if was_open and self.driven:
            self.engine.command(CloseSource(self))
