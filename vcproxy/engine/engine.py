"""Engine: the deterministic half of a net thread. Its driver is the other half.

The driver's obligations, for each turn, in this order and on one thread:

1. `clock(now)`: the time, from a clock that never runs backwards. It runs the inbox; and if it
   comes long after a timer was due, it postpones all timers;
2. pass in what the operating system reports: `time_of_day` when it has changed, `accepted`,
   `called`, and what NetVConnection lists;
3. `run()`, if anything is in `queue` or the first of `timers` is due: timers are queued behind
   what came in; then events are delivered, at most those queued when delivery began;
4. flush: take all of `reads`, `writes` and `commands` (`take_reads()` ...) and execute them. New
   ones that this causes wait for the next turn;
5. poll: without sleeping while `busy`, else until `next_deadline()`, woken by `inbox.wake`.

Given the same calls in the same order, an engine does the same: its time is what `clock` last set,
its randomness is `random`, and no decision depends on the order of a set or on an object's id.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from vcproxy.engine.address import PACKETS, Address, unmapped
from vcproxy.engine.address_history import AddressHistory
from vcproxy.engine.blocks import Memory
from vcproxy.engine.calls import Called, listener_of
from vcproxy.engine.commands import Command, ResumeAccept, Subscribe
from vcproxy.engine.continuation import Continuation, OwnTimer
from vcproxy.engine.dates import DateAction
from vcproxy.engine.descriptor_shortage import DescriptorShortage
from vcproxy.engine.event import Event
from vcproxy.engine.event_dispatcher import EventDispatcher
from vcproxy.engine.failures import Exhausted
from vcproxy.engine.iobuffer import WATER_MARK, IOBuffer
from vcproxy.engine.listener import Listener
from vcproxy.engine.memory_pressure import MemoryPressure
from vcproxy.engine.mutex import Mutex, current
from vcproxy.engine.net import NetVConnection
from vcproxy.engine.open_sources import OpenSources
from vcproxy.engine.outgoing import ROOM_S, Outgoing
from vcproxy.engine.plugin_error import as_error
from vcproxy.engine.shared_calls import SharedCalls
from vcproxy.engine.units import show_duration

if TYPE_CHECKING:
    from random import Random

    from vcproxy.engine.log_function import LogFunction
    from vcproxy.engine.port import Port
    from vcproxy.engine.sources.source import Source

ACCEPT_PAUSE_S = 0.1
"""The pause after a failed accept: HAProxy's, when descriptors run out."""

ACCEPT_WARNING_S = 1.0
"""The least time between two warnings that a listener cannot accept."""


class Engine(EventDispatcher):
    """All VCs, timers and events of one net thread."""

    connection: ClassVar[type[NetVConnection]] = NetVConnection
    """The class of its connections."""
    listening: ClassVar[type[Listener]] = Listener
    """The class of the listeners that it accepts for."""
    resolves_all: ClassVar[bool] = False
    """Whether the driver must resolve numeric hosts too."""

    __slots__ = (
        "_accept_warned",
        "address_history",
        "bridges",
        "commands",
        "direct",
        "memory_pressure",
        "no_buffer",
        "pending_calls",
        "place",
        "random",
        "reads",
        "reported",
        "shortage",
        "sources",
        "token",
        "vc_count",
        "vcs",
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
        direct: bool = True,
        token: str = "",
    ) -> None:
        super().__init__(name, Memory(memory), log)
        self.token = token
        """Text that identifies this process and differs in each run; "": none. All engines of a
        process have the same text."""
        self.place = name.rpartition("-")[2]
        """What the ids of its connections begin with: "0" for net-0; in worker 2 "2-0"."""
        self.random = random
        self.bridges = bridges
        """Whether the driver may move bytes inside the kernel: see Bridge."""
        self.direct = direct
        """Whether input may be passed on without a queued event, and output be written before the
        end of the turn: see DirectHandler, `VIO.at_once` and `NetVConnection.send_at_once`."""
        self.reported: Callable[[NetVConnection], bool] = lambda vc: False
        """Return whether the driver has an event of this VC in this turn, handled or not. Set by
        drivers. A VC with an event may have unread data, which may concern what is about to be
        sent."""
        self.address_history = AddressHistory(self)
        self.shortage = DescriptorShortage(self)
        self.vc_count = 0
        """VCs made so far: the number of the last."""
        self.vcs: dict[NetVConnection, None] = {}
        """Every VC from accept or connect until its descriptor is closed, in that order."""
        self.reads: list[NetVConnection] = []
        self.writes: list[NetVConnection] = []
        self.commands: list[Command] = []
        self.sources = OpenSources()
        self.no_buffer = IOBuffer(self.memory, 0)
        """The buffer of all operations that read 0 bytes."""
        self.memory_pressure = MemoryPressure(self)
        self._accept_warned: dict[Listener, float] = {}
        self.pending_calls = SharedCalls(self)

    def __repr__(self) -> str:
        return f"<Engine {self.name} vcs={len(self.vcs)}>"

    # -- for continuations -------------------------------------------------------------------

    def connect(
        self,
        cont: Continuation,
        target: Address,
        *,
        tls: object = None,
        server_name: str = "",
        introduction: bytes = b"",
        timeout: float = 0.0,
    ) -> NetVConnection:
        """Connect to `target`; all addresses of its name are tried, side by side: see Outgoing.

        Delivers CONNECTED with the VC to `cont`, after the handshake where there is TLS, or ERROR
        with the VC, whose `error` is the reason; the VC must then be closed. `tls` is what the
        driver needs for TLS; `introduction` is sent first, before TLS; `timeout` (seconds, 0: none)
        limits the whole. The VC of a udp target is message-oriented and connected without any
        packet: a failure is reported, if at all, after something was sent. A multicast group is
        sent to, not received from: see `subscribe`.
        """
        cont.mutex.require("connect()")
        outgoing = self.outgoing(cont, str(target))
        outgoing.start(
            target, tls=tls, server_name=server_name, introduction=introduction, timeout=timeout
        )
        return outgoing.vc

    def subscribe(
        self, cont: Continuation, address: Address, *, timeout: float = 0.0
    ) -> NetVConnection:
        """Receive what is sent to a udp address of this host, a multicast group or a NATS subject.

        Delivers CONNECTED with the VC, which is message-oriented and read-only; or ERROR with the
        VC, whose `error` is the reason, as for `connect`. A group may have several subscribers. At
        fifo:PATH it is a stream of what all writers write. Raises ValueError: see `subscribed`.
        """
        cont.mutex.require("subscribe()")
        if not address.subscribed:
            raise ValueError(f"{address} is connected to, not subscribed to")
        outgoing = self.outgoing(cont, str(address))
        outgoing.start(address, timeout=timeout, attempt=Subscribe)
        return outgoing.vc

    def resolve(
        self, cont: Continuation, address: Address, *, timeout: float = 0.0
    ) -> NetVConnection:
        """Find the addresses of a name: `cont` gets Resolved, or ERROR as for `connect`.

        The VC is never connected; it must be closed, which also cancels the look-up.
        """
        outgoing = self.outgoing(cont, str(address))
        outgoing.start(address, timeout=timeout, attempt=None)
        return outgoing.vc

    def outgoing(self, cont: Continuation, name: str) -> Outgoing:
        """Return an Outgoing with a VC that is not connected yet; `start()` sets the target.

        `name` is the name of the VC until then. CONNECTED or ERROR follows as for `connect`. The VC
        must be closed, started or not.
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
        shares: float | None = None,
    ) -> None:
        """Run `fn(*args)` off the loop; `cont` gets Called within `deadline` seconds (0: no limit).

        The function runs on another thread and must not use anything of the engine. A result after
        the deadline is dropped. The call may wait for other calls of conversations at the same
        listener, and for no others. `shares`: see SharedCalls; None: the function runs for it.
        """
        if shares is None:
            self.pending_calls.start(cont, fn, args, deadline, listener_of(cont))
        else:
            self.pending_calls.share(cont, fn, args, deadline, shares)

    def schedule_at_date(
        self, when: float, cont: Continuation, key: Hashable, data: object
    ) -> DateAction:
        """Deliver an event at `when`: seconds since 1970, UTC. See DateAction."""
        return DateAction(cont, when, key, data)

    def buffer(self, water_mark: int | None = None, *, message_oriented: bool = False) -> IOBuffer:
        """Return a new buffer that counts in this engine's memory budget."""
        mark = WATER_MARK if water_mark is None else water_mark
        return IOBuffer(self.memory, mark, message_oriented=message_oriented)

    def close_sources(self, mutex: Mutex) -> None:
        """Close all sources of a conversation. The mutex is held."""
        self.sources.close_all(mutex)

    def end_conversation(self, mutex: Mutex, error: Exception) -> None:
        """See EventDispatcher; close its sources too."""
        super().end_conversation(mutex, error)
        self.close_sources(mutex)

    # -- for VCs -----------------------------------------------------------------------------

    def notify_acceptor(self, vc: NetVConnection, listener: Listener) -> None:
        """Pass an established VC to its listener's acceptor, under the VC's mutex."""
        mutex = vc.mutex
        with mutex.hold(self):
            self.delivery = min(self.delivery, 0) - 1  # counts down; `run` counts up
            self.running = vc
            try:
                cont = listener.acceptor(vc) if vc.refusal is None else listener.refuser(vc)
                if cont is not None:
                    self.schedule(cont, Event.ACCEPT, vc)
            except BaseException as mistake:
                error = as_error(mistake)
                self.log("error", f"{vc.name}: the plugin could not take the connection", error)
                self.end_conversation(mutex, error)
                self._end_soon(vc.mutex, error)  # the VC may have moved to another conversation
            finally:
                self.running = None

    def read_allowance(self, vc: NetVConnection, room: int) -> int:
        """Return how much of `room` a VC may read although the memory budget is used up.

        See MemoryPressure.
        """
        return self.memory_pressure.read_allowance(vc, room)

    def remove(self, vc: NetVConnection) -> None:
        """Forget a VC whose descriptor is closed."""
        if vc in self.vcs:
            del self.vcs[vc]
            if vc.tls_size:
                vc.count_tls(False)
            if vc.listener is not None:
                vc.listener.vc_gone(vc)
                if vc.message_oriented:
                    self.shortage.sessions.pop(vc, None)
            elif vc.outgoing is not None and vc.outgoing.observer is not None:
                vc.outgoing.observer.vc_gone(vc)

    def command(self, command: Command) -> None:
        """Queue a command for the driver. May be called from any thread."""
        if current.engine is self:  # is_current, inlined for speed
            self.commands.append(command)
        else:
            self.inbox.post(partial(self.command, command))

    # -- called by the driver ----------------------------------------------------------------

    def time_of_day(self, seconds: int) -> None:
        """Set the time of day, in seconds since 1970, UTC. It may run backwards.

        The driver calls it in the first turn of each second that has a turn, before anything else.
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
        local: str = "",
    ) -> NetVConnection:
        """Return a new VC for an accepted connection or, `message_oriented`, a new datagram client.

        If `listener.awaits_header(peer)`, the driver reads the PROXY header next, and calls
        `vc.introduced(...)` or `vc.failed()`. Then, if `secure`, it calls `vc.established(...)` or
        `vc.failed()`. `peer` and `local`: "host:port", an IPv6 host in brackets. `local` is needed
        if `listener.notes_local`. An IPv4 client of an IPv6 socket is IPv4 from here on, so lists,
        limits, hashes, logs and servers all see the same address.
        """
        peer = unmapped(peer)
        vc = self.connection(self, Mutex(), f"{listener.name} {peer}")
        vc.message_oriented = message_oriented
        vc.secure = secure
        vc.port = port
        vc.local = local and unmapped(local)
        self.vcs[vc] = None
        if message_oriented and peer != PACKETS:
            self.shortage.sessions[vc] = None
        vc.accepted_by(listener, peer)
        return vc

    def accept_failed(self, listener: Listener, error: Exception) -> None:
        """Handle a failed accept: send ResumeAccept after 100 ms, or after 20 ms if descriptors are
        short and an idle connection was closed to free one."""
        listener.counts_of(self).accept_failures += 1
        resume = partial(self.command, ResumeAccept(listener))
        if isinstance(error, Exhausted) and self.shortage.make_room():
            self.schedule_in(ROOM_S, OwnTimer(self, resume), Event.TIMEOUT, None)
            return
        last = self._accept_warned.get(listener)
        if last is None or self.now - last >= ACCEPT_WARNING_S:
            self._accept_warned[listener] = self.now
            text = f"cannot accept: {error}; pausing for {show_duration(ACCEPT_PAUSE_S)}"
            self.log("warning", f"{listener.name}: {text}")
        self.schedule_in(ACCEPT_PAUSE_S, OwnTimer(self, resume), Event.TIMEOUT, None)

    def make_room(self) -> bool:
        """Close a datagram session that was silent for long, for its descriptor; return whether
        there was one."""
        return self.shortage.end_session()

    def called(self, number: int, value: object, error: Exception | None = None) -> None:
        """Deliver the result of a Call: a value or an exception."""
        self.pending_calls.finish(number, Called(value, error))

    def happened(self, source: Source, event: object) -> None:
        """Queue an event of a source, with its class as the key, unless the source has ended.

        One of the class `source.at_once` is delivered at once if it overtakes nothing.
        """
        if source.number not in self.sources:
            return
        kind: type = type(event)
        if (
            kind is source.at_once
            and self.direct
            and not self.prioritized
            and not (self.queue or self.writes or self.commands or self.ran_in == self.turns)
        ):
            self.delivery -= 1  # no other call in this turn has that number
            self._deliver(source, kind, event)
            self.running = None
            return
        if kind in source.last:
            self.sources.remove(source, source.cont)
        self.queue.append((source, kind, event))
        if self.prioritized:
            self.unordered = True

    @property
    def busy(self) -> bool:
        """Whether there is work to do, so that the next poll must not sleep."""
        waiting = self.inbox.calls or self.inbox.fed
        return bool(self.queue or self.reads or self.writes or self.commands or waiting)

    def take_reads(self) -> list[NetVConnection]:
        """Return and remove the VCs that are listed for reading, each once."""
        taken, self.reads = self.reads, []
        for vc in taken:
            vc.read_listed = False
        return taken

    def take_writes(self) -> list[NetVConnection]:
        """Return and remove the VCs that are listed for writing, each once."""
        taken, self.writes = self.writes, []
        for vc in taken:
            vc.write_listed = False
        return taken

    def take_commands(self) -> list[Command]:
        """Take the commands for the driver."""
        taken, self.commands = self.commands, []
        return taken
