"""EventDispatcher: delivers events to continuations, at once or at a time, each under its mutex.

It is the part of an Engine without connections: the queue of events, the timers, the turn
that delivers them, and what happens when a callback fails.

Tested in tests/engine/test_engine.py, test_mutex.py and test_scheduler.py.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import partial
from typing import TYPE_CHECKING, Any

from vcproxy.engine.inbox import Inbox
from vcproxy.engine.mutex import Mutex, current
from vcproxy.engine.plugin_error import as_error
from vcproxy.engine.refused_messages import RefusedMessages
from vcproxy.engine.scheduler import Action, Scheduler, Ticket
from vcproxy.engine.sources.source import PRIORITY, Source

if TYPE_CHECKING:
    from vcproxy.engine.blocks import Block, Memory
    from vcproxy.engine.continuation import Continuation
    from vcproxy.engine.log_function import LogFunction
    from vcproxy.engine.vio import VIO

LATE_S = 0.5
"""A turn is delayed if it begins this long after a timer was due: the process was stopped, or the
host was suspended or overloaded. Answers of peers could not be read meanwhile."""

GRACE_S = 1.0
"""Seconds until the earliest timer after a postponement: time to read all that has arrived, for a
thousand connections on a slow machine, before any deadline is checked."""

GRACE_EVERY_S = 2 * GRACE_S
"""The least time between two postponements, so that timers still fire if overload delays every
turn."""


class EventDispatcher:
    """The event queue and the timers of one net thread."""

    __slots__ = (
        "_graced_at",
        "_missed",
        "_scheduler",
        "delivery",
        "inbox",
        "instruments",
        "log",
        "memory",
        "name",
        "next_deadline",
        "now",
        "prioritized",
        "queue",
        "ran_in",
        "reading",
        "refused",
        "running",
        "timers",
        "turns",
        "unordered",
        "wall",
    )

    def __init__(self, name: str, memory: Memory, log: LogFunction) -> None:
        self.name = name
        self.memory = memory
        self.log = log
        self.instruments: dict[Hashable, Any] = {}
        """The values of metrics on this net thread: see Instrument."""
        self.inbox = Inbox()
        self._scheduler = Scheduler()
        self.queue = self._scheduler.queue
        self.timers = self._scheduler.timers
        """(when, order, timer) of each, as a heap: the earliest is first."""
        self.running: Continuation | None = None
        """The continuation that is being called, or None. Any thread may read it."""
        self.reading = False
        """Whether that call was made by a read of the driver: see VIO.at_once."""
        self.delivery = 0
        """The number of the running call in its turn; with `now` it identifies the call."""
        self.next_deadline = self._scheduler.next_deadline
        """Return the latest time at which `clock` must be called; None: there is no timer."""
        self.now = 0.0
        """The time in seconds, as the driver set it last."""
        self.wall = 0
        """The time of day: seconds since 1970, UTC, as the driver set it last; 0: not set yet."""
        self.refused = RefusedMessages(self)
        """The last messages that were refused."""
        self.ran_in = -1
        """The last turn whose events were delivered."""
        self.turns = 0
        """Turns begun so far."""
        self.prioritized = False
        """Whether there was a source with another priority than the default."""
        self.unordered = False
        """Whether the queue may have to be ordered by priority."""
        self._graced_at = -GRACE_EVERY_S
        self._missed: dict[Mutex, list[tuple[Ticket, Hashable, object]]] = {}

    # -- for continuations -------------------------------------------------------------------

    @property
    def is_current(self) -> bool:
        """Whether this thread is running this engine."""
        return current.engine is self

    def schedule(self, cont: Continuation, key: Hashable, data: object) -> Action:
        """Queue an event. It is always deferred, and delivered in the order of scheduling."""
        action = Action(cont, key, data, self.now, 0.0)
        if current.engine is self:  # is_current, inlined for speed
            self._scheduler.soon(action)
        else:
            self.inbox.post(partial(self._scheduler.soon, action))
        return action

    def schedule_at(
        self, when: float, cont: Continuation, key: Hashable, data: object, period: float = 0.0
    ) -> Action:
        """Deliver an event at `when` in the engine's time, then every `period` seconds if not 0."""
        action = Action(cont, key, data, when, period)
        if current.engine is self:  # is_current, inlined for speed
            self._scheduler.later(action)
        else:
            self.inbox.post(partial(self._scheduler.later, action))
        return action

    def schedule_in(
        self, seconds: float, cont: Continuation, key: Hashable, data: object
    ) -> Action:
        """Deliver an event after that many seconds."""
        return self.schedule_at(self.now + seconds, cont, key, data)

    def schedule_every(
        self, seconds: float, cont: Continuation, key: Hashable, data: object
    ) -> Action:
        """Deliver an event after that many seconds, and then at that interval."""
        return self.schedule_at(self.now + seconds, cont, key, data, seconds)

    def deliver_soon(self, ticket: Ticket, key: Hashable, data: object) -> None:
        """Queue an event that is dropped if its ticket is no longer live."""
        if current.engine is self:  # is_current, inlined for speed
            self.queue.append((ticket, key, data))
        else:
            self.inbox.post(partial(self.queue.append, (ticket, key, data)))

    def deliver_first(self, mutex: Mutex, events: list[tuple[Ticket, Hashable, object]]) -> None:
        """Put events of a conversation at the head of the queue: they came before the rest."""
        if current.engine is not self:
            self.inbox.post(partial(self.deliver_first, mutex, events))
        elif mutex in self._missed:
            self._missed[mutex][:0] = events
        else:
            self.queue.extendleft(reversed(events))
            self.unordered = self.prioritized

    def end_conversation(self, mutex: Mutex, error: Exception) -> None:
        """Close every VC under a mutex, and drop all later events under it. The mutex is held."""
        mutex.ended = True
        self.memory.used -= mutex.held_bytes
        mutex.held_bytes = 0
        for vc in list(mutex.vcs):
            vc.do_io_close(error)

    # -- called by the driver ----------------------------------------------------------------

    def clock(self, now: float) -> None:
        """Begin a turn: set the time, run the inbox."""
        current.engine = self
        self.tick(now)

    def tick(self, now: float) -> None:
        """Do what `clock` does, on a thread that has run no other engine since `clock()`."""
        if now > self.now:
            if now - self.now > LATE_S:
                self._check_delay(now)
            self.now = now
        self.turns += 1
        inbox = self.inbox
        if inbox.calls or inbox.fed:
            inbox.drain()

    def run(self) -> None:
        """Queue the timers that are due, then deliver the events that are queued by now."""
        timers = self.timers
        if timers and timers[0][0] <= self.now:
            self._scheduler.clock(self.now)
        if self.unordered:
            self._order()
        queue, deliver = self.queue, self._deliver
        for self.delivery in range(len(queue)):
            deliver(*queue.popleft())
        self.running = None
        self.ran_in = self.turns

    def blocked(self, cont: Continuation, delivery: tuple[float, int]) -> None:
        """Close the conversation of a callback that has blocked the thread.

        `delivery` identifies the call: the time of its turn and its number there.
        """
        mutex = cont.mutex
        if not mutex.try_acquire(self):
            mutex.park(self, partial(self.blocked, cont, delivery))
            return
        if not mutex.ended:
            took = f"its callback blocked {self.name} for {self.now - delivery[0]:.3f} s"
            self.crashed(cont, TimeoutError(took))
        mutex.release(self)

    # -- inside ------------------------------------------------------------------------------

    def _order(self) -> None:
        """Order the queue by priority; events of one priority stay in their order."""
        self.unordered = False
        ordered = sorted(self.queue, key=_priority)
        self.queue.clear()
        self.queue.extend(ordered)

    def _check_delay(self, now: float) -> None:
        """Postpone all timers if this turn is delayed.

        Data that has arrived is then read before any deadline is checked.
        """
        deadline = self.next_deadline()
        if (
            deadline is not None
            and now - deadline > LATE_S
            and now - self._graced_at >= GRACE_EVERY_S
        ):
            self._graced_at = now
            self._postpone(now - deadline)

    def _postpone(self, late: float) -> None:
        self._scheduler.postpone(late + GRACE_S)
        self.log(
            "warning",
            f"{self.name} was delayed for {late:.1f} s (stopped, suspended, overloaded, or code "
            f"has blocked): all timers are postponed by {late + GRACE_S:.1f} s",
        )

    def _deliver(self, ticket: Ticket, key: Hashable, data: object) -> None:
        cont = ticket.cont
        if cont is None:
            return
        mutex = cont.mutex
        if self._missed and mutex in self._missed:
            self._missed[mutex].append((ticket, key, data))  # after the events that wait already
            return
        if mutex.lock.acquire(False):  # try_acquire(), inlined for speed
            mutex.owner = self
            mutex.depth = 1
        elif not mutex.try_acquire(self):
            self._missed[mutex] = [(ticket, key, data)]
            mutex.park(self, partial(self._retry, mutex))
            return
        try:
            if ticket.live and not mutex.ended:
                ticket.pending = False
                self.running = cont
                cont.handle_event(key, data)
            elif isinstance(ticket, Source) and not mutex.ended:
                ticket.keep(key, data)  # it is disabled
        except BaseException as mistake:
            self.crashed(cont, as_error(mistake))
        finally:
            if mutex.depth == 1:  # release(), inlined too
                mutex.depth = 0
                mutex.owner = None
                mutex.lock.release()
                if mutex.parked:
                    mutex.post_parked()
            else:
                mutex.release(self)

    def deliver_at_once(self, vio: VIO, call: Callable[[Block], None], data: Block) -> None:
        """Make the call of `VIO.at_once` as an event is delivered. The VIO's mutex is held; it is
        released here."""
        cont, mutex = vio.cont, vio.mutex
        assert cont is not None
        self.delivery -= 1  # no other call in this turn has that number
        self.running = cont
        self.reading = True
        try:
            call(data)
        except BaseException as mistake:
            self.crashed(cont, as_error(mistake))
        finally:
            self.reading = False
            self.running = None
            mutex.release(self)

    def _retry(self, mutex: Mutex) -> None:
        """Put the events that waited for this mutex at the head of the queue: it was released."""
        self.queue.extendleft(reversed(self._missed.pop(mutex)))

    def crashed(self, cont: Continuation, error: Exception) -> None:
        """Log an exception in a callback and close its conversation; all others go on."""
        name = type(cont).__qualname__
        try:
            text = f"{name} {cont!r} failed; its conversation is closed\n{cont.crashed(error)}"
        except BaseException as second:  # also plugin code; the first error must still be logged
            then = f"its crashed() or repr() raised {second!r}; its conversation is closed"
            text = f"{name} failed, and {then}"
        self.log("error", text.rstrip(), error)
        self.end_conversation(cont.mutex, error)

    def _end_soon(self, mutex: Mutex, error: Exception) -> None:
        """End the conversation under a mutex as soon as the mutex is free."""
        if mutex.try_acquire(self):
            self.end_conversation(mutex, error)
            mutex.release(self)
        else:
            mutex.park(self, partial(self._end_soon, mutex, error))


def _priority(entry: tuple[Ticket, Hashable, object]) -> int:
    """Return the priority of a queued event."""
    ticket = entry[0]
    return ticket.priority if isinstance(ticket, Source) else PRIORITY
