"""Engine: the deterministic half of a net thread. Its driver is the other half.

The driver's obligations, for each turn, in this order and on one thread:

1. `clock(now)`: the time, from a clock that never runs backwards. It runs the inbox; and if it
   comes long after something was due, it postpones all timers;
2. feed what the operating system has: `time_of_day` when it has changed, `accepted`, `called`, and
   what NetVConnection asks for;
3. `run()`, if anything is in `queue` or the first of `timers` is due: timers are queued, behind
   what has come in; then events are delivered, at most those queued when delivery began;
4. flush: take all of `reads`, `writes` and `commands` (`take_reads()` ...) and act on them. New
   ones that this brings about wait for the next turn;
5. poll: not at all while `busy`, else until `next_deadline()`, woken by `inbox.wake`.

Given the same calls in the same order, an engine does the same: time is what `clock` last set,
randomness is `random`, and no decision rests on the order of a set or on an identity.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol

from vcproxy.engine.address import Address, unmapped
from vcproxy.engine.address_history import AddressHistory
from vcproxy.engine.commands import Call, CancelCall, Command, ResumeAccept, Subscribe
from vcproxy.engine.continuation import Continuation
from vcproxy.engine.descriptor_shortage import DescriptorShortage
from vcproxy.engine.event import Event
from vcproxy.engine.failures import Exhausted
from vcproxy.engine.inbox import Inbox
from vcproxy.engine.iobuffer import WATER_MARK, IOBuffer, Memory
from vcproxy.engine.listener import Listener
from vcproxy.engine.memory_pressure import MemoryPressure
from vcproxy.engine.mutex import Mutex, current
from vcproxy.engine.net import NetVConnection
from vcproxy.engine.outgoing import ROOM_S, Outgoing
from vcproxy.engine.plugin_error import as_error
from vcproxy.engine.scheduler import Action, Scheduler, Ticket
from vcproxy.engine.units import show_duration

if TYPE_CHECKING:
    from random import Random

    from vcproxy.engine.net import Port

ACCEPT_PAUSE_S = 0.1
"""After a failed accept: what HAProxy waits when descriptors run out."""

ACCEPT_WARNING_S = 1.0
"""A listener that cannot accept says so at most this often."""

LATE_S = 0.5
"""A turn that begins so long after a timer was due has been held up: its process was stopped, its
host was suspended or overloaded. No peer answers for that time."""

GRACE_S = 1.0
"""What the earliest timer has left then: time to read all that came meanwhile, a thousand
connections on a slow machine, before any deadline is judged."""

GRACE_EVERY_S = 2 * GRACE_S
"""So long at least lies between one such postponement and the next: where each turn is late, by
overload, time goes on."""

Level = Literal["debug", "info", "warning", "error"]


class LogFunction(Protocol):
    """Where an engine says what people should know. It must not block."""

    def __call__(self, level: Level, text: str, error: Exception | None = None) -> None:
        """LogFunction a line. `error` is a programmer's mistake, to be shown with its traceback."""


@dataclass(frozen=True, slots=True)
class Called:
    """The event that answers `engine.call`: the value, or what `fn` raised."""

    value: object
    error: Exception | None = None


class Engine:
    """All VCs, timers and events of one net thread."""

    connection: ClassVar[type[NetVConnection]] = NetVConnection
    """What it makes for each connection."""
    listening: ClassVar[type[Listener]] = Listener
    """What is made for each listener that is at home here."""

    __slots__ = (
        "_accept_warned",
        "_calls",
        "_graced_at",
        "_last_call",
        "_missed",
        "_relief",
        "_scheduler",
        "address_history",
        "bridges",
        "commands",
        "delivery",
        "inbox",
        "log",
        "memory",
        "name",
        "next_deadline",
        "now",
        "queue",
        "random",
        "reads",
        "running",
        "shortage",
        "timers",
        "token",
        "turns",
        "vcs",
        "wall",
        "writes",
    )

    def __init__(
        self,
        name: str,
        *,
        memory: int,
        random: Random,
        log: LogFunction,
        bridges: bool = True,
        token: str = "",
    ) -> None:
        self.name = name
        self.token = token
        """What tells this process from all others, in each run another text; empty: nothing does.
        All engines of a process have the same."""
        self.memory = Memory(memory)
        self.random = random
        self.log = log
        self.bridges = bridges
        """Whether directions may be moved by the driver alone."""
        self.inbox = Inbox()
        self.address_history = AddressHistory(self)
        """Which addresses do not answer."""
        self.shortage = DescriptorShortage(self)
        """What goes when descriptors are short."""
        self.vcs: dict[NetVConnection, None] = {}
        """Every VC from accept or connect until its descriptor is closed, in that order."""
        self.reads: list[NetVConnection] = []
        self.writes: list[NetVConnection] = []
        self.commands: list[Command] = []
        self._scheduler = Scheduler()
        self.queue = self._scheduler.queue
        self.timers = self._scheduler.timers
        """(when, order, timer) of each, as a heap: the first is due first."""
        self.running: Continuation | None = None
        """Who is being called back, if anybody is. Any thread may look."""
        self.delivery = 0
        """Which call that is: with `now` it tells each from all others."""
        self.next_deadline = self._scheduler.next_deadline
        """() -> when `clock` must be called at the latest, or None: no matter when."""
        self.now = 0.0
        """Seconds: what the driver set last."""
        self.wall = 0
        """The time of day: seconds since 1970, UTC, as the driver has told; 0: it has not."""
        self.turns = 0
        """How many have begun."""
        self._graced_at = -GRACE_EVERY_S
        self._missed: dict[Mutex, list[tuple[Ticket, Hashable, object]]] = {}
        self._relief = MemoryPressure(self)
        self._accept_warned: dict[Listener, float] = {}
        self._calls: dict[int, tuple[Action, Action | None]] = {}
        self._last_call = 0

    def __repr__(self) -> str:
        return f"<Engine {self.name} vcs={len(self.vcs)}>"

    # -- for continuations -------------------------------------------------------------------

    @property
    def is_current(self) -> bool:
        """Whether this thread is running this engine."""
        return current.engine is self

    def schedule(self, cont: Continuation, key: Hashable, data: object) -> Action:
        """Deliver an event soon: never inline, in the order of scheduling."""
        action = Action(cont, key, data, self.now, 0.0)
        if self.is_current:
            self._scheduler.soon(action)
        else:
            self.inbox.post(partial(self._scheduler.soon, action))
        return action

    def schedule_at(
        self, when: float, cont: Continuation, key: Hashable, data: object, period: float = 0.0
    ) -> Action:
        """Deliver an event at `when` in the engine's time, then every `period` seconds if not 0."""
        action = Action(cont, key, data, when, period)
        if self.is_current:
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
        """Deliver an event after that many seconds, and again and again."""
        return self.schedule_at(self.now + seconds, cont, key, data, seconds)

    def connect(
        self,
        cont: Continuation,
        target: Address,
        *,
        tls: object = None,
        server_name: str = "",
        timeout: float = 0.0,
    ) -> NetVConnection:
        """Connect to `target`; all addresses of its name are tried, side by side: see Outgoing.

        Delivers CONNECTED with the VC to `cont`, after the handshake where there is TLS, or
        ERROR with the VC, whose `error` says why; the VC must then be closed. `tls` is whatever
        the driver needs for it; `timeout` (seconds, 0: none) bounds all of it. The VC of a udp
        target is whole, and connected without a word to anybody: what is wrong there is told, if
        at all, when something was sent. A multicast group is sent to, not heard: see `hear`.
        """
        cont.mutex.require("connect()")
        outgoing = self.outgoing(cont, str(target))
        outgoing.start(target, tls=tls, server_name=server_name, timeout=timeout)
        return outgoing.vc

    def subscribe(
        self, cont: Continuation, address: Address, *, timeout: float = 0.0
    ) -> NetVConnection:
        """Receive what is sent to a udp address of this host, a multicast group or a NATS subject.

        Delivers CONNECTED with the VC, which is message-oriented and read-only; or ERROR with the
        VC, whose `error` is the reason, as for `connect`. A group may have several subscribers.
        """
        cont.mutex.require("subscribe()")
        outgoing = self.outgoing(cont, str(address))
        outgoing.start(address, timeout=timeout, attempt=Subscribe)
        return outgoing.vc

    def resolve(
        self, cont: Continuation, address: Address, *, timeout: float = 0.0
    ) -> NetVConnection:
        """Find the addresses of a name: `cont` gets Resolved, or ERROR as for `connect`.

        The VC goes no further than that; it must be closed, and that gives the question up.
        """
        outgoing = self.outgoing(cont, str(address))
        outgoing.start(address, timeout=timeout, attempt=None)
        return outgoing.vc

    def outgoing(self, cont: Continuation, name: str) -> Outgoing:
        """Make a VC whose `go` will say where it goes; `name` is what it is called until then.

        CONNECTED or ERROR follows as for `connect`. It must be closed, gone or not.
        """
        cont.mutex.require("outgoing()")
        vc = self.connection(self, cont.mutex, name)
        self.vcs[vc] = None
        return Outgoing(vc, cont)

    def call(
        self,
        cont: Continuation,
        fn: Callable[..., object],
        *args: object,
        deadline: float = 0.0,
    ) -> None:
        """Run `fn(*args)` off the loop; `cont` gets Called, in `deadline` seconds at the latest.

        The function runs on another thread and must touch nothing of the engine. Its answer is
        dropped when it comes after the deadline. It may have to wait for other calls from
        conversations at the same listener, and for no others.
        """
        self._last_call += 1
        number = self._last_call
        answer = Action(cont, Called, None, 0.0, 0.0)
        expiry = None
        if deadline:
            late = _Own(self, partial(self._give_up, number, deadline))
            expiry = self.schedule_in(deadline, late, Event.TIMEOUT, None)
        self._calls[number] = (answer, expiry)
        self.command(Call(number, fn, args, _listener_of(cont)))

    def buffer(self, water_mark: int | None = None, *, message_oriented: bool = False) -> IOBuffer:
        """A buffer on this engine's memory; `message_oriented`: of messages."""
        return IOBuffer(
            self.memory,
            WATER_MARK if water_mark is None else water_mark,
            message_oriented=message_oriented,
        )

    def end_conversation(self, mutex: Mutex, error: Exception) -> None:
        """Close everything under a mutex, and deliver nothing to it any more. It is held."""
        mutex.ended = True
        self.memory.used -= mutex.held_bytes
        mutex.held_bytes = 0
        for vc in list(mutex.vcs):
            vc.do_io_close(error)

    # -- for VCs -----------------------------------------------------------------------------

    def deliver_soon(self, ticket: Ticket, key: Hashable, data: object) -> None:
        """Queue an event that dies with its ticket."""
        if self.is_current:
            self.queue.append((ticket, key, data))
        else:
            self.inbox.post(partial(self.queue.append, (ticket, key, data)))

    def notify_acceptor(self, vc: NetVConnection, listener: Listener) -> None:
        """Hand an established VC to its listener's acceptor, under the VC's mutex."""
        mutex = vc.mutex
        with mutex.hold(self):
            self.delivery = min(self.delivery, 0) - 1  # those of `run` count up
            self.running = vc
            try:
                cont = listener.refuser(vc) if vc.excess else listener.acceptor(vc)
                if cont is not None:
                    self.schedule(cont, Event.ACCEPT, vc)
            except BaseException as mistake:
                error = as_error(mistake)
                self.log("error", f"{vc.name}: the plugin could not take the connection", error)
                self.end_conversation(mutex, error)
                self._end_soon(vc.mutex, error)  # it may have joined another
            finally:
                self.running = None

    def read_allowance(self, vc: NetVConnection, room: int) -> int:
        """Return how much of `room` a VC may read although the memory budget is spent.

        See MemoryPressure.
        """
        return self._relief.read_allowance(vc, room)

    def remove(self, vc: NetVConnection) -> None:
        """A VC's descriptor is closed."""
        if vc in self.vcs:
            del self.vcs[vc]
            vc.count_tls(False)
            if vc.listener is not None:
                vc.listener.vc_gone(vc)
                if vc.message_oriented:
                    self.shortage.sessions.pop(vc, None)
            elif vc.outgoing is not None and vc.outgoing.observer is not None:
                vc.outgoing.observer.vc_gone(vc)

    def command(self, command: Command) -> None:
        """Ask something of the driver. From any thread."""
        if self.is_current:
            self.commands.append(command)
        else:
            self.inbox.post(partial(self.command, command))

    # -- what the driver calls ---------------------------------------------------------------

    def clock(self, now: float) -> None:
        """Begin a turn: set the time, run the inbox."""
        current.engine = self
        self.tick(now)

    def tick(self, now: float) -> None:
        """`clock`, on a thread that has called it and has run no other engine since."""
        if now > self.now:
            if now - self.now > LATE_S:
                self._excuse(now)
            self.now = now
        self.turns += 1
        inbox = self.inbox
        if inbox.calls or inbox.fed:
            inbox.drain()

    def time_of_day(self, seconds: int) -> None:
        """The time of day has changed: to so many seconds since 1970, UTC. It may run backwards.

        The driver tells in the first turn of each second that has one, before anything else.
        """
        self.wall = seconds

    def accepted(
        self,
        listener: Listener,
        port: Port,
        peer: str,
        *,
        secure: bool = False,
        message_oriented: bool = False,
    ) -> NetVConnection:
        """A connection came in. `secure`: `vc.established(...)` or `vc.failed()` is owed next.

        `peer`: "host:port", an IPv6 host in brackets. An IPv4 client of an IPv6 socket is IPv4 from
        here on: lists, limits, hashes, logs and servers know it by one address.

        `message_oriented`: the first datagram from there did.
        """
        peer = unmapped(peer)
        vc = self.connection(self, Mutex(), f"{listener.name} {peer}")
        vc.message_oriented = message_oriented
        vc.secure = secure
        vc.listener = listener
        vc.port = port
        vc.peer = peer
        self.vcs[vc] = None
        if message_oriented:
            self.shortage.sessions[vc] = None
        listener.vc_made(vc)
        if secure and vc.excess:  # a handshake costs more than whoever comes too often is worth
            with vc.mutex.hold(self):
                vc.do_io_close()
        elif secure:
            vc.count_tls(True)
            vc.wait_at_most(listener.handshake_s)
        else:
            vc.establish()
        return vc

    def accept_failed(self, listener: Listener, error: Exception) -> None:
        """An accept failed for want of something. ResumeAccept follows in 100 ms, or as soon as a
        connection that nobody uses has made room for a descriptor."""
        resume = partial(self.command, ResumeAccept(listener))
        if isinstance(error, Exhausted) and self.shortage.make_room():
            self.schedule_in(ROOM_S, _Own(self, resume), Event.TIMEOUT, None)
            return
        last = self._accept_warned.get(listener)
        if last is None or self.now - last >= ACCEPT_WARNING_S:
            self._accept_warned[listener] = self.now
            pause = show_duration(ACCEPT_PAUSE_S)
            self.log("warning", f"{listener.name}: cannot accept: {error}; pausing for {pause}")
        self.schedule_in(ACCEPT_PAUSE_S, _Own(self, resume), Event.TIMEOUT, None)

    def make_room(self) -> bool:
        """There is no descriptor for a session of datagrams: another one makes room, if it was
        silent for long. Return whether there was one.
        """
        return self.shortage.end_session()

    def called(self, number: int, value: object, error: Exception | None = None) -> None:
        """A Call has ended, with a value or an exception."""
        answer, expiry = self._calls.pop(number, (None, None))
        if answer is None:  # it was given up
            return
        if expiry is not None:
            expiry.cancel()
        self.queue.append((answer, Called, Called(value, error)))

    def run(self) -> None:
        """Queue the timers that are due, then deliver the events that are queued by now."""
        self._scheduler.clock(self.now)
        queue = self.queue
        for self.delivery in range(len(queue)):
            ticket, key, data = queue.popleft()
            self._deliver(ticket, key, data)
        self.running = None

    def blocked(self, cont: Continuation, delivery: tuple[float, int]) -> None:
        """A callback has held up the thread: its conversation ends.

        `delivery`: which call that was, by the time of its turn and by its number there.
        """
        mutex = cont.mutex
        if not mutex.try_acquire(self):
            mutex.park(self, partial(self.blocked, cont, delivery))
            return
        if not mutex.ended:
            took = f"its callback blocked {self.name} for {self.now - delivery[0]:.3f} s"
            self._crashed(cont, TimeoutError(took))
        mutex.release(self)

    @property
    def busy(self) -> bool:
        """Whether there is something to do before the next poll may sleep."""
        waits = self.inbox.calls or self.inbox.fed
        return bool(self.queue or self.reads or self.writes or self.commands or waits)

    def take_reads(self) -> list[NetVConnection]:
        """The VCs that want to read, once each."""
        taken, self.reads = self.reads, []
        for vc in taken:
            vc.read_listed = False
        return taken

    def take_writes(self) -> list[NetVConnection]:
        """The VCs that want to write, once each."""
        taken, self.writes = self.writes, []
        for vc in taken:
            vc.write_listed = False
        return taken

    def take_commands(self) -> list[Command]:
        """What the driver is to do."""
        taken, self.commands = self.commands, []
        return taken

    # -- inside ------------------------------------------------------------------------------

    def _excuse(self, now: float) -> None:
        """Postpone all timers, if this thread was held up: what is readable is read before a
        deadline is judged."""
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
            f"{self.name} was held up for {late:.1f} s (stopped, suspended or overloaded): "
            "all timers are postponed by as much",
        )

    def _give_up(self, number: int, deadline: float) -> None:
        """A Call has had no answer in time."""
        answer, _ = self._calls.pop(number)
        late = TimeoutError(f"timed out: no answer in {show_duration(deadline)}")
        self.queue.append((answer, Called, Called(None, late)))
        self.command(CancelCall(number))

    def _end_soon(self, mutex: Mutex, error: Exception) -> None:
        """End the conversation under a mutex as soon as it is free."""
        if mutex.try_acquire(self):
            self.end_conversation(mutex, error)
            mutex.release(self)
        else:
            mutex.park(self, partial(self._end_soon, mutex, error))

    def _deliver(self, ticket: Ticket, key: Hashable, data: object) -> None:
        cont = ticket.cont
        if cont is None:
            return
        mutex = cont.mutex
        if self._missed and mutex in self._missed:
            self._missed[mutex].append((ticket, key, data))  # it does not overtake those before it
            return
        if not mutex.try_acquire(self):
            self._missed[mutex] = [(ticket, key, data)]
            mutex.park(self, partial(self._retry, mutex))
            return
        try:
            if ticket.live and not mutex.ended:
                ticket.pending = False
                self.running = cont
                cont.handle_event(key, data)
        except BaseException as mistake:
            self._crashed(cont, as_error(mistake))
        finally:
            mutex.release(self)

    def _retry(self, mutex: Mutex) -> None:
        """A mutex is free that was missed: what waits for it comes first in this turn."""
        self.queue.extendleft(reversed(self._missed.pop(mutex)))

    def _crashed(self, cont: Continuation, error: Exception) -> None:
        """A programmer's mistake: its conversation ends, closed, and all else carries on."""
        who = type(cont).__qualname__
        try:
            text = f"{who} {cont!r} failed; its conversation is closed\n{cont.crashed(error)}"
        except BaseException as worse:  # the author's too: it must not save the first
            text = f"{who} failed, then its crashed() or repr() with {worse!r}; it is closed"
        self.log("error", text.rstrip(), error)
        self.end_conversation(cont.mutex, error)


class _Own(Continuation):
    """The engine's own timers: a call, under a mutex that nobody else has."""

    __slots__ = ("_act",)

    def __init__(self, engine: Engine, act: Callable[[], None]) -> None:
        super().__init__(engine, Mutex())
        self._act = act

    def handle_event(self, key: Hashable, data: object) -> None:
        self._act()


def _listener_of(cont: Continuation) -> str:
    """The name of the listener of a conversation's clients; empty: it has none."""
    for vc in cont.mutex.vcs:
        if isinstance(vc, NetVConnection) and vc.listener is not None:
            return vc.listener.name
    return ""
