"""OneWayMultiTunnel: what comes from one place goes to any number of VCs.

All sinks read one buffer; those that keep up are fed together (see Fan), each of the others from a
place of its own, as far behind as it is granted (see Lag). They join and leave while it runs.
(Traffic Server stops at 4, and the first failure ends it all.) A sink that ends or fails leaves
alone; what that means for the rest is the rule `ends`.

    RELAYING --the source ended, finish()------------> FLUSHING --every sink has its due--> DONE
        |                                                 ^ |
        +--the source broke, fail()--> FAILING --the rest-+ |
        |                                 |                 |
        +---- a timeout of the source, or the rule says so -+------------------------> DONE

Whatever ends a source, what it had sent before reaches the sinks. Of one that has broken, what its
system still holds is read first: it is FAILING. From then on each sink must take something every so
often.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from vcproxy.engine.event import Event
from vcproxy.engine.fan import Fan
from vcproxy.engine.iobuffer import SLAB
from vcproxy.engine.vconnection import Shutdown
from vcproxy.machine.machine import Machine
from vcproxy.machine.state import State
from vcproxy.tunnels.done import (
    Dropped,
    Flow,
    Reason,
    SinkDone,
    SinkLags,
    SinkRecovered,
    SourceDone,
    TunnelDone,
    TunnelRoom,
)
from vcproxy.tunnels.history import NO_HISTORY, History, Join
from vcproxy.tunnels.lag import BLOCK, Lag
from vcproxy.tunnels.sink import Sink
from vcproxy.tunnels.stall_timer import FLUSH_S, STALLED, StallTimer, flush_s

if TYPE_CHECKING:
    from vcproxy.engine.continuation import Continuation
    from vcproxy.engine.iobuffer import Reader
    from vcproxy.engine.vconnection import VConnection
    from vcproxy.engine.vio import VIO

Ends = Literal["last", "any_required", "never"]
"""When sinks that go end the tunnel: with the last one, with any required one, or not at all."""

News = TunnelDone | SinkDone | SourceDone | SinkLags | SinkRecovered | TunnelRoom

SAID, STEADY = "SAID", "STEADY"
"""Tags: the owner has said something; a sink has kept up for a while."""

REMOVE, FAIL, FINISH, STOP = "REMOVE", "FAIL", "FINISH", "STOP"
"""Tags: the owner wants one VC back; its source has broken; an end in order; an end now."""

STEADY_S = 1.0
"""So long a sink that lagged must keep up to have recovered: one that is only just quick enough
falls behind and catches up a hundred times a second, which is news once."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How one sink stands."""

    sink: VConnection
    lag: int
    """Bytes that what waits for it occupies."""
    due: int
    """Bytes that it has not got."""
    given: int
    """Bytes that it has got since it joined."""
    dropped: Dropped
    heard: int
    """Bytes that it has said; nobody heard them."""
    required: bool


class OneWayMultiTunnel(Machine):
    """Moves what comes to every sink, and tells `owner` with one TunnelDone.

    What comes is what `source` brings: its end is flushed to all sinks and ends the tunnel. Or
    there is none, and the owner lends one after the other (`feed`), or says messages himself
    (`say`); then the tunnel ends with `finish`. With `ends` "never" it runs with no sink at all,
    too: what comes is dropped.

    A sink that goes earlier, or has its due at the end, is given back with SinkDone. SinkLags,
    SinkRecovered, SourceDone and TunnelRoom tell the owner the rest. The VCs are lent, the tunnel
    closes none.

    Args:
        whole: messages are moved, not a stream of bytes. A `source` that is whole makes it so.
        history: what a sink may get that joins at the "tail".
        water_mark: bytes of buffer at which reading pauses; a sink's Lag or the history raises it.
        patience_s: a sink that lags and takes nothing for so long is given back, INACTIVITY, so
            that "block" does not mean for ever. 0: it does. It is looked at every so often: what
            it says does not count, and it may last twice as long.
        abort_s: so long may a required sink take nothing once the source has been reset by its
            peer, where `patience_s` says nothing. Any other sink, or failure: see FLUSH_S.
    """

    __slots__ = (
        "_abort_s",
        "_compacts",
        "_ends",
        "_error",
        "_fan",
        "_flushed",
        "_held_up_at",
        "_history",
        "_memory",
        "_own_source",
        "_owner",
        "_patience_s",
        "_reason",
        "_said",
        "_sinks",
        "_source_vc",
        "_who",
        "buffer",
        "source",
    )

    RELAYING = State(initial=True)
    FAILING = State(parent=RELAYING)
    FLUSHING = State()
    DONE = State(final=True)

    def __init__(
        self,
        owner: Continuation,
        source: VConnection | None = None,
        *,
        ends: Ends = "last",
        message_oriented: bool = False,
        history: History = NO_HISTORY,
        water_mark: int = SLAB,
        patience_s: float = 0.0,
        abort_s: float = FLUSH_S,
        name: str = "",
    ) -> None:
        super().__init__(owner.engine, owner.mutex, name=name)
        self._owner = owner
        self._source_vc = source
        self._own_source = source is not None
        self._ends = ends
        self._patience_s, self._abort_s = patience_s, abort_s
        self._sinks: dict[VConnection, Sink] = {}
        self._flushed: list[Flow] = []
        self._reason = Reason.STOPPED
        self._who = self.name
        self._error: Exception | None = None
        self._said = False
        self._held_up_at = -math.inf
        message_oriented = message_oriented or (source is not None and source.message_oriented)
        self.buffer = self.engine.buffer(water_mark, message_oriented=message_oriented)
        self.source: VIO | None = None
        self._fan = Fan(self, self.buffer)
        self._history = history
        self._compacts = False  # where it matters how many bytes wait, slabs must be full
        self._memory: Reader | None = None
        if history.bytes:
            self._memory = self.buffer.reader()
            self._compacts = not message_oriented
            self._hold(history.bytes + SLAB)

    @RELAYING.enter
    def relaying(self) -> None:
        """Read, once the sinks that were added before have their places."""
        if self._source_vc is not None:
            self._read(self._source_vc)

    # -- for owners: what comes --------------------------------------------------------------

    def feed(self, source: VConnection) -> None:
        """Lend a source that another may follow: SourceDone brings it back. One at a time."""
        assert self.source is None, f"{self.name}: {self._source_vc} is the source"
        if self.state is self.RELAYING:
            self._source_vc = source
            self._read(source)
        else:
            self._tell(SourceDone(self, source, self._reason, None, 0))

    def say(self, messages: Iterable[bytes]) -> None:
        """Move messages, each as it stands on the wire. The tunnel must be `message_oriented`.

        It takes them also when it is `full`.
        """
        assert self.buffer.message_oriented, f"{self.name}: messages, where bytes are moved"
        if self.state is not self.RELAYING and self.state is not self.FAILING:
            return
        for message in messages:
            self.buffer.write(message)
        self._fan.data_added()
        if len(self.buffer.readers) > 1:
            self.ready()

    @property
    def full(self) -> bool:
        """Whether the buffer is full. If so, the owner gets TunnelRoom once it is not."""
        full = self.buffer.full
        if full:
            self._fan.sources[self] = None
        return full

    @property
    def held_up(self) -> bool:
        """Whether there is no room, or was none until a sink left, within the time that a sink is
        granted: a source that is silent is not to blame."""
        return self.buffer.full or self.engine.now - self._held_up_at < self._patience_s

    def reenable(self) -> None:
        """There may be room again: for the fan, as for a source that is a VIO."""
        if not self.buffer.full:
            self._fan.sources.pop(self, None)
            self._tell(TunnelRoom(self))

    def ready(self) -> None:
        """Not all have what was said: they are looked after, soon. For the fan, as `reenable`."""
        if not self._said:
            self._said = True
            self.engine.schedule(self, SAID, None)

    def fail(self, error: Exception | None) -> None:
        """What is said came from a source that has broken, and there is some more of it; `finish`
        follows. From now on each sink must take something every so often."""
        self.engine.schedule(self, FAIL, error)

    def finish(self, error: Exception | None = None) -> None:
        """No more will come: every sink gets what waits for it, then TunnelDone: EOS, or ERROR."""
        self.engine.schedule(self, FINISH, error)

    # -- for owners: where it goes -----------------------------------------------------------

    def add(
        self,
        sink: VConnection,
        *,
        required: bool = False,
        watch: bool = True,
        lag: Lag = BLOCK,
        join: Join = "head",
        mute: bool = False,
    ) -> None:
        """Lend a sink: it gets what comes from now on, and SinkDone brings it back.

        With `join` "tail" it gets what is remembered first; that is granted beside its `lag`. Once
        the end has come it gets nothing, and is back at once. With `watch` it is read too, only to
        see it end; what it says is dropped, and counted, or `mute` gives it back, SPOKE. Raises
        ValueError for a policy that drops messages where there are none.
        """
        if lag.drops and not self.buffer.message_oriented:
            raise ValueError(f"{lag.then} drops messages, and {self.name} moves bytes")
        if self.state is self.DONE:
            nothing = Flow(self._source_name, sink.name, 0, 0)
            self._tell(SinkDone(self, sink, self._reason, self._error, nothing))
            return
        memory = self._memory if join == "tail" else None
        reader = self.buffer.reader() if memory is None else memory.clone()
        lag = replace(lag, most=lag.most + reader.occupied)
        start = reader.position
        vio = sink.do_io_write(self, None, reader)
        nowhere = self.engine.buffer(
            message_oriented=sink.message_oriented
        )  # without a reader: all is dropped
        watched = sink.do_io_read(self, None, nowhere) if watch else None
        added = self._sinks[sink] = Sink(sink, vio, watched, lag, required, mute, start)
        if self.state is self.FLUSHING:
            added.finish()
        else:
            if lag.then == "block":
                self._hold(lag.most)
            else:
                self._hold(lag.most + SLAB)
                self._compacts = not self.buffer.message_oriented
            self._fan.add_sink(vio)
        self._time(added)

    def remove(self, vc: VConnection) -> None:
        """Take a sink or a source back, flushed or not: SinkDone or SourceDone, STOPPED.

        The rule `ends` holds for such a sink too.
        """
        self.engine.schedule(self, REMOVE, vc)

    def stop(self) -> None:
        """End now, flushed or not: TunnelDone, STOPPED."""
        self.engine.schedule(self, STOP, None)

    @property
    def flows(self) -> tuple[Flow, ...]:
        """What has gone to each sink since it joined; see TunnelDone for whose they are."""
        return (*self._flushed, *(sink.flow(self._source_name) for sink in self._sinks.values()))

    def standings(self) -> Iterator[Standing]:
        """How each sink stands, in the order in which they joined."""
        for sink in self._sinks.values():
            heard = sink.watched.ndone if sink.watched is not None else 0
            yield Standing(
                sink.vc, sink.lag, sink.due, sink.given, sink.losses, heard, sink.required
            )

    # -- moving ------------------------------------------------------------------------------

    @RELAYING.on(Event.READ_READY, to=(DONE,))
    def brought(self, vio: VIO) -> State | None:
        """Something has come; or a sink has said something."""
        if vio is self.source:
            return self._look_after()
        return self._spoke(vio)

    @RELAYING.on(SAID, to=(DONE,))
    def said(self, _: object) -> State | None:
        """The owner has said something, and not all can have it at once."""
        self._said = False
        return self._look_after()

    @FLUSHING.on(SAID)
    def said_last(self, _: object) -> None:
        """It is flushed with the rest."""

    @RELAYING.on(Event.WRITE_READY)
    @FLUSHING.on(Event.WRITE_READY)
    def took(self, vio: VIO) -> None:
        """A sink that lags or is on a detour has got some."""
        sink = self._sinks[vio.vc]
        if sink.resume():
            self._fan.catch_up(vio)
            vio.reenable()
        if sink.level or not (sink.lags or sink.resumes):
            vio.pending = True  # no more of this
            if sink.lags:
                sink.lags = False
                self._time(sink)
                sink.steady = self.engine.schedule_in(STEADY_S, self, STEADY, sink)

    @RELAYING.on(STEADY)
    @FLUSHING.on(STEADY)
    def recovered(self, sink: Sink) -> None:
        """It has kept up for a while."""
        sink.steady = None
        self._tell(SinkRecovered(self, sink.vc, sink.losses))

    @FLUSHING.on(Event.READ_READY, to=(DONE,))
    def heard(self, vio: VIO) -> State | None:
        """A sink's own chatter, or bytes already counted."""
        return self._spoke(vio)

    # -- ends --------------------------------------------------------------------------------

    @RELAYING.on(Event.EOS, to=(FLUSHING, DONE))
    def ended(self, vio: VIO) -> State | None:
        """The source has ended, or a sink has."""
        if vio is not self.source:
            return self._lost(vio.vc, Reason.SINK_ENDED)
        if not self._own_source:
            return self._source_done(Reason.EOS)
        self._end(Reason.EOS, vio.vc)
        return self._flush()

    @RELAYING.on(FAIL, to=FAILING)
    def failed_by_owner(self, error: Exception | None) -> None:
        """There is more to come from the owner."""
        self._reason, self._who, self._error = Reason.ERROR, self.name, error

    @RELAYING.on(FINISH, to=(FLUSHING, DONE))
    def finished_by_owner(self, error: Exception | None) -> State:
        """The owner has no more."""
        self._reason = Reason.EOS if error is None else Reason.ERROR
        self._who, self._error = self.name, error
        return self._flush()

    @RELAYING.on(Event.ERROR, to=(FAILING, FLUSHING, DONE))
    def failed(self, vio: VIO) -> State | None:
        """A connection has broken; of a source the rest is read."""
        if vio is not self.source:
            return self._lost(vio.vc, Reason.ERROR)
        if self._own_source:
            self._end(Reason.ERROR, vio.vc)
            self._error = vio.error
        if vio.vc.unread:
            self._read(vio.vc, vio.ndone)
            return self.FAILING if self._own_source else None
        return self._flush() if self._own_source else self._source_done(Reason.ERROR)

    @FLUSHING.on(Event.ERROR, to=(DONE,))
    def sink_failed(self, vio: VIO) -> State | None:
        """A sink has broken while it was owed something; or the source, whose end has come."""
        return self._lost(vio.vc, Reason.ERROR)

    @RELAYING.on(Event.INACTIVITY_TIMEOUT, to=(DONE,))
    @FLUSHING.on(Event.INACTIVITY_TIMEOUT, to=(DONE,))
    def idled(self, vio: VIO) -> State | None:
        """Nothing has moved for too long; a source that may not speak is not to blame."""
        if vio is self.source and self.held_up and self._patience_s:
            vio.vc.set_inactivity_timeout(self._patience_s)
            return None
        return self._broken(vio, Reason.INACTIVITY)

    @RELAYING.on(STALLED, to=(DONE,))
    @FLUSHING.on(STALLED, to=(DONE,))
    def stalled(self, sink: Sink) -> State | None:
        """A sink should have taken something by now, if there was anything for it."""
        if not sink.due:
            return None
        return self._lost(sink.vc, Reason.INACTIVITY if self._patience_s else self._reason)

    @RELAYING.on(Event.ACTIVE_TIMEOUT, to=(DONE,))
    @FLUSHING.on(Event.ACTIVE_TIMEOUT, to=(DONE,))
    def outlived(self, vio: VIO) -> State | None:
        """It has lasted too long."""
        return self._broken(vio, Reason.ACTIVE)

    @FLUSHING.on(Event.EOS, to=(DONE,))
    def left(self, vio: VIO) -> State | None:
        """A sink ended while it was owed something."""
        return self._lost(vio.vc, Reason.SINK_ENDED)

    @FLUSHING.on(Event.WRITE_COMPLETE, to=(DONE,))
    def flushed(self, vio: VIO) -> State | None:
        """A sink has its due."""
        return self._lost(vio.vc, self._reason)

    @RELAYING.on(REMOVE, to=(DONE,))
    @FLUSHING.on(REMOVE, to=(DONE,))
    def removed(self, vc: VConnection) -> State | None:
        """The owner wants one back."""
        if self.source is not None and vc is self.source.vc:
            return self._broken(self.source, Reason.STOPPED)
        return self._lost(vc, Reason.STOPPED)

    @FLUSHING.on(FAIL, FINISH)
    def flushing_already(self, _: object) -> None:
        """It has ended before."""

    @RELAYING.on(STOP, to=DONE)
    @FLUSHING.on(STOP, to=DONE)
    def stopped(self, _: object) -> None:
        """The owner wants no more of it."""
        self._reason, self._who = Reason.STOPPED, self.name

    @DONE.enter
    def done(self) -> None:
        """Give all VCs back."""
        if self.source is not None and not self._own_source:
            self._source_done(self._reason)
        self._tell(TunnelDone(self, self._reason, self._who, self._error, self.flows))

    def finished(self) -> None:
        """Nothing is kept."""
        if self.source is not None:
            self.source.retire()
        for sink in self._sinks.values():
            sink.retire()
        self._fan.place.close()
        if self._memory is not None:
            self._memory.close()

    # -- inside ------------------------------------------------------------------------------

    @property
    def _source_name(self) -> str:
        return self._source_vc.name if self._source_vc is not None else self.name

    def _tell(self, news: News) -> None:
        self.engine.schedule(self._owner, type(news), news)  # type: ignore[arg-type]

    def _hold(self, count: int) -> None:
        """Let the buffer hold that many bytes."""
        self.buffer.water_mark = max(self.buffer.water_mark, count)

    def _read(self, source: VConnection, taken: int = 0) -> None:
        self.source = source.do_io_read(self, None, self.buffer)
        self.source.ndone = taken
        self._fan.add_source(self.source)

    def _look_after(self) -> State | None:
        """Not all could have what came at once: forget what is too old, judge who lags."""
        if self._compacts:
            self.buffer.compact()
        if self._memory is not None:
            self._history.forget(self._memory)
        for vio in list(self._fan.behind):
            ended = self._judge(self._sinks[vio.vc])
            if ended is not None:
                return ended
        self._fan.wake_sources()
        return None

    def _judge(self, sink: Sink) -> State | None:
        """Do what the policy of a sink that is behind wants done."""
        grant = sink.grant
        if grant.then == "block":
            if 2 * sink.lag >= grant.most:
                self._note(sink)
        elif sink.excessive:
            if grant.then == "disconnect":
                return self._lost(sink.vc, Reason.LAGGED)
            self._note(sink)
            sink.drop()
            self._hold(sink.lag + SLAB)  # a message longer than is granted holds up nobody either
        return None

    def _note(self, sink: Sink) -> None:
        """It lags: the owner is told, unless he thinks that it still does."""
        if not sink.lags:
            sink.lags = True
            sink.vio.pending = False  # it is to tell when it gets on
            self._time(sink)
            if sink.steady is None:
                self._tell(SinkLags(self, sink.vc, sink.lag, sink.grant.then))
            else:
                sink.steady.cancel()
                sink.steady = None

    def _time(self, sink: Sink) -> None:
        """Bound how long it takes nothing; the VC's own timer would count what it says, too."""
        if sink.stall_timer is not None:
            sink.stall_timer.cancel()
            sink.stall_timer = None
        seconds = self._patience_s
        if not seconds and self._reason is Reason.ERROR:
            seconds = flush_s(self._error, self._abort_s) if sink.required else FLUSH_S
        if seconds and (sink.lags or self.state is not self.RELAYING):
            sink.stall_timer = StallTimer(self, seconds, lambda: sink.given, sink)

    def _spoke(self, vio: VIO) -> State | None:
        """A sink has said something."""
        sink = self._sinks.get(vio.vc)
        return self._lost(vio.vc, Reason.SPOKE) if sink is not None and sink.mute else None

    def _flush(self) -> State:
        """Nothing more will come: each sink goes by itself until it has its due."""
        if self.source is not None and not self._own_source:
            self._source_done(Reason.STOPPED)
        for sink in self._sinks.values():
            self._fan.leave(sink.vio)
            sink.finish()
        return self.FLUSHING if self._sinks else self.DONE

    @FAILING.enter
    @FLUSHING.enter
    def flushing(self) -> None:
        """Nobody may hold up the end for ever."""
        for sink in self._sinks.values():
            self._time(sink)

    def _end(self, reason: Reason, vc: VConnection) -> State:
        self._reason, self._who, self._error = reason, vc.name, vc.error
        return self.DONE

    def _broken(self, vio: VIO, reason: Reason) -> State | None:
        """The tunnel's own source takes all the rest with it, any other goes alone."""
        if vio is not self.source:
            return self._lost(vio.vc, reason)
        return self._end(reason, vio.vc) if self._own_source else self._source_done(reason)

    def _source_done(self, reason: Reason) -> State | None:
        """Give the source back; another may follow."""
        vio, self.source = self.source, None
        assert vio is not None
        vio.retire()
        self._tell(SourceDone(self, vio.vc, reason, vio.error, vio.ndone))
        return None

    def _lost(self, vc: VConnection, reason: Reason) -> State | None:
        """Give a sink back, and say what follows."""
        sink = self._sinks.pop(vc, None)
        if sink is None:
            return None  # it was gone before the removal
        flow = sink.flow(self._source_name)
        if self.buffer.full:
            self._held_up_at = self.engine.now
        sink.retire()
        if reason is Reason.EOS:
            vc.do_io_shutdown(Shutdown.WRITE)
        error = self._error if vc.error is None and reason is self._reason else vc.error
        self._tell(SinkDone(self, vc, reason, error, flow, sink.losses))
        last = sink.required if self._ends == "any_required" else not self._sinks
        if self.state is not self.RELAYING:
            self._flushed.append(flow)
            if not self._sinks:
                return self.DONE
        elif last and self._ends != "never":
            return self._end(reason, vc)
        self._fan.wake_sources()  # it may have been the one that held the others up
        return None
