"""OneWayMultiTunnel: moves the bytes or messages of one source to any number of sinks.

All sinks read one buffer. Sinks that keep up are written to together (see Fan). Each of the others
has a read position of its own, as far behind as its LagPolicy allows (see LagControl). Sinks are
added and removed while it runs. (Traffic Server allows 4, and the first failure ends all.) A sink
that ends or fails is removed alone; the rule `ends` decides whether that ends the tunnel.

    RELAYING --the source ended, finish()----------------> FLUSHING --all sinks have all--> DONE
        |                                                     ^ |
        +--the source failed, fail()--> FAILING --the rest----+ |
        |                                  |                    |
        +---- timeout of the source, the rule `ends`, stop() ---+-------------------------> DONE

Whatever ends a source, the bytes it sent before reach the sinks. FAILING: the tunnel's own source
has failed, and what its kernel still holds is read first. From then on each sink must make progress
(see StallTimer).

Longer than 400 lines: one class, whose receivers are one state table.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Literal

from vcproxy.engine.blocks import SLAB
from vcproxy.engine.event import Event
from vcproxy.engine.fan import Fan
from vcproxy.engine.vconnection import Shutdown
from vcproxy.engine.vio import VIO
from vcproxy.machine.machine import Machine
from vcproxy.machine.state import State
from vcproxy.tunnels.done import (
    Flow,
    Reason,
    SinkDone,
    SinkLags,
    SinkRecovered,
    SourceDone,
    TunnelDone,
    TunnelWritable,
)
from vcproxy.tunnels.history import NO_HISTORY, History, Join
from vcproxy.tunnels.lag_control import STEADY, LagControl
from vcproxy.tunnels.lag_policy import BLOCK, LagPolicy
from vcproxy.tunnels.sink import Sink, SinkStatistics
from vcproxy.tunnels.stall_timer import FLUSH_S, STALLED, StallTimer, flush_s

if TYPE_CHECKING:
    from vcproxy.engine.continuation import Continuation
    from vcproxy.engine.vconnection import VConnection

Ends = Literal["last", "any_required", "never"]
"""When the removal of sinks ends the tunnel: of the last one, of any required one, or never."""

Report = TunnelDone | SinkDone | SourceDone | SinkLags | SinkRecovered | TunnelWritable
"""What the owner receives."""

PUBLISHED = "PUBLISHED"
"""Tag: the owner has published messages, and not all sinks could take them at once."""

REMOVE, FAIL, FINISH, STOP = "REMOVE", "FAIL", "FINISH", "STOP"
"""Tags: remove(), fail(), finish() and stop() of the owner."""


class OneWayMultiTunnel(Machine):
    """Moves the data of its sources to every sink, and sends `owner` one TunnelDone.

    There are three kinds of source. A tunnel made with a `source` ends with it: its end is flushed
    to all sinks. Without one, the owner lends sources one after another (`add_source`), or writes
    messages itself (`publish`); then `finish` ends the tunnel. With `ends` "never" it also runs
    without any sink, and drops the data.

    A sink that is removed earlier, or has everything at the end, is given back with SinkDone. The
    owner also receives SinkLags, SinkRecovered, SourceDone and TunnelWritable. The VCs are lent:
    the tunnel closes none.

    Args:
        message_oriented: messages are moved, not a stream of bytes. A message-oriented `source`
            implies it.
        history: how much data is kept for sinks that join at the "tail".
        water_mark: bytes of buffer at which reading pauses; a LagPolicy or the history raises it.
        stall_s: seconds without progress after which a sink that lags is removed with INACTIVITY,
            so that "block" does not wait for ever; 0: never. See StallTimer.
        abort_s: seconds without progress that a required sink is allowed after the source was reset
            by its peer, if `stall_s` is 0. Any other sink, or failure, is allowed FLUSH_S.
    """

    __slots__ = (
        "_abort_s",
        "_blocked_at",
        "_ended_by",
        "_ends",
        "_error",
        "_fan",
        "_flushed",
        "_lag",
        "_own_source",
        "_owner",
        "_published",
        "_reason",
        "_sinks",
        "_source_timer",
        "_source_vc",
        "_stall_s",
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
        stall_s: float = 0.0,
        abort_s: float = FLUSH_S,
        name: str = "",
    ) -> None:
        super().__init__(owner.engine, owner.mutex, name=name)
        self._owner = owner
        self._source_vc = source
        self._own_source = source is not None
        self._ends = ends
        self._stall_s, self._abort_s = stall_s, abort_s
        self._sinks: dict[VConnection, Sink] = {}
        self._flushed: list[Flow] = []
        self._reason = Reason.STOPPED
        self._ended_by = self.name
        self._error: Exception | None = None
        self._published = False
        self._blocked_at = -math.inf
        messages = message_oriented or (source is not None and source.message_oriented)
        self.buffer = self.engine.buffer(water_mark, message_oriented=messages)
        self.source: VIO | None = None
        self._source_timer: StallTimer | None = None
        """Runs while the rest of a lent source that has failed is read."""
        self._fan = Fan(self, self.buffer)
        self._lag = LagControl(self, self._fan, history, self._report, self._set_stall_timer)

    @RELAYING.enter
    def relaying(self) -> None:
        """Read the source, after the sinks added before start() are positioned in the buffer."""
        if self._source_vc is not None:
            self._read(self._source_vc)

    # -- for owners: sources -----------------------------------------------------------------

    def add_source(self, source: VConnection) -> None:
        """Lend a source, one at a time; SourceDone gives it back. Another may follow."""
        assert self.source is None, f"{self.name}: {self._source_vc} is the source already"
        if self.state is self.RELAYING:
            self._source_vc = source
            self._read(source)
        else:
            self._report(SourceDone(self, source, self._reason, None, 0))

    def publish(self, messages: Iterable[bytes]) -> None:
        """Write encoded messages to all sinks. The tunnel must be message oriented.

        They are accepted even if it is `full`.
        """
        assert self.buffer.message_oriented, f"{self.name}: publish() on a tunnel of bytes"
        if self.state is not self.RELAYING and self.state is not self.FAILING:
            return
        for message in messages:
            self.buffer.write(message)
        self._fan.data_added()
        if len(self.buffer.readers) > 1:
            self.ready()

    @property
    def full(self) -> bool:
        """Whether the buffer is full. Then the owner receives TunnelWritable once it is not."""
        full = self.buffer.full
        if full:
            self._fan.sources[self] = None
        return full

    @property
    def blocked(self) -> bool:
        """Whether the buffer is full, or was until a sink was removed less than `stall_s` ago: then
        the source is silent because it was not read."""
        return self.buffer.full or self.engine.now - self._blocked_at < self._stall_s

    def reenable(self) -> None:
        """Report TunnelWritable if the buffer has room. Called by the Fan, as a VIO's reenable."""
        if not self.buffer.full:
            self._fan.sources.pop(self, None)
            self._report(TunnelWritable(self))

    def ready(self) -> None:
        """Schedule the check of sinks that are behind. Called by the Fan too."""
        if not self._published:
            self._published = True
            self.engine.schedule(self, PUBLISHED, None)

    def fail(self, error: Exception | None) -> None:
        """Report that the source of the published messages has failed. More messages may follow,
        then `finish`. From now on each sink must make progress."""
        self.engine.schedule(self, FAIL, error)

    def finish(self, error: Exception | None = None) -> None:
        """Flush every sink, as no more messages follow; then TunnelDone (EOS; with `error`:
        ERROR)."""
        self.engine.schedule(self, FINISH, error)

    # -- for owners: sinks -------------------------------------------------------------------

    def add_sink(
        self,
        sink: VConnection,
        *,
        required: bool = False,
        watch: bool = True,
        lag: LagPolicy = BLOCK,
        join: Join = "head",
        receive_only: bool = False,
    ) -> None:
        """Lend a sink. It gets all data from now on; SinkDone gives it back.

        With `join` "tail" it gets the history first, which does not count as lag. After the end of
        the source it gets nothing more and is given back soon. With `watch` it is read, only to
        detect its end; its data is dropped and counted, or with `receive_only` it is given back
        (UNEXPECTED_DATA). Raises ValueError for a policy that drops messages in a tunnel of bytes.
        """
        if lag.drops and not self.buffer.message_oriented:
            raise ValueError(f"{lag.on_lag} drops messages, and {self.name} moves bytes")
        if self.state is self.DONE:
            nothing = Flow(self._source_name, sink.name, 0, 0)
            self._report(SinkDone(self, sink, self._reason, self._error, nothing))
            return
        reader = self._lag.place(join)
        granted = self._lag.policy_for(lag, reader)
        start = reader.position
        vio = sink.do_io_write(self, None, reader)
        # This buffer has no reader: what the sink sends is dropped.
        discard = self.engine.buffer(message_oriented=sink.message_oriented)
        watched = sink.do_io_read(self, None, discard) if watch else None
        added = self._sinks[sink] = Sink(sink, vio, watched, granted, required, receive_only, start)
        if self.state is self.FLUSHING:
            added.finish()
        else:
            self._lag.added(added)
            self._fan.add_sink(vio)
        self._set_stall_timer(added)

    def remove(self, vc: VConnection) -> None:
        """Take a sink or a source back, even if bytes are unsent: SinkDone or SourceDone (STOPPED).

        The rule `ends` applies to such a sink too.
        """
        self.engine.schedule(self, REMOVE, vc)

    def stop(self) -> None:
        """End at once, even if bytes are unsent. TunnelDone (STOPPED) follows."""
        self.engine.schedule(self, STOP, None)

    @property
    def flows(self) -> tuple[Flow, ...]:
        """Byte counts of each sink since it was added; see TunnelDone for which sinks are
        included."""
        return (*self._flushed, *(sink.flow(self._source_name) for sink in self._sinks.values()))

    def sink_statistics(self) -> Iterator[SinkStatistics]:
        """Yield the counts of each sink, in the order in which they were added."""
        for sink in self._sinks.values():
            yield sink.statistics

    @property
    def sinks(self) -> list[VConnection]:
        """The sinks now, in the order in which they were added."""
        return list(self._sinks)

    def statistics_of(self, vc: VConnection) -> SinkStatistics | None:
        """Return the counts of a sink; None: it is none now."""
        sink = self._sinks.get(vc)
        return None if sink is None else sink.statistics

    # -- moving ------------------------------------------------------------------------------

    @RELAYING.on(Event.READ_READY, to=(DONE,))
    def source_or_sink_readable(self, vio: VIO) -> State | None:
        """Apply lag policies after a read that not all sinks took; check a sink that sent data."""
        if vio is self.source:
            return self._check_lag()
        return self._sink_sent(vio)

    @RELAYING.on(PUBLISHED, to=(DONE,))
    def published(self, _: object) -> State | None:
        """Apply lag policies after published messages that not all sinks could take at once."""
        self._published = False
        return self._check_lag()

    @FLUSHING.on(PUBLISHED)
    def published_before_the_end(self, _: object) -> None:
        """Do nothing: published messages are flushed with the rest."""

    @RELAYING.on(Event.WRITE_READY)
    @FLUSHING.on(Event.WRITE_READY)
    def sink_progressed(self, vio: VIO) -> None:
        """Update a sink that lags or reads a private buffer, after it has taken some bytes."""
        self._lag.progressed(self._sinks[vio.vc])

    @RELAYING.on(STEADY)
    @FLUSHING.on(STEADY)
    def sink_recovered(self, sink: Sink) -> None:
        """Report that a sink that lagged has kept up."""
        self._lag.recovered(sink)

    @FLUSHING.on(Event.READ_READY, to=(DONE,))
    def sink_sent_while_flushing(self, vio: VIO) -> State | None:
        """A sink has sent data; or the source was read before its end."""
        return self._sink_sent(vio)

    # -- ends --------------------------------------------------------------------------------

    @RELAYING.on(Event.EOS, to=(FLUSHING, DONE))
    def source_or_sink_ended(self, vio: VIO) -> State | None:
        """Flush or give the source back after its end; remove a sink that has ended."""
        if vio is not self.source:
            return self._remove(vio.vc, Reason.SINK_ENDED)
        if not self._own_source:
            return self._source_done(Reason.EOS)
        self._end(Reason.EOS, vio.vc)
        return self._flush()

    @RELAYING.on(FAIL, to=FAILING)
    def failed_by_owner(self, error: Exception | None) -> None:
        """Record that the source of published messages has failed; more messages may follow."""
        self._reason, self._ended_by, self._error = Reason.ERROR, self.name, error

    @RELAYING.on(FINISH, to=(FLUSHING, DONE))
    def finished_by_owner(self, error: Exception | None) -> State:
        """Flush: the owner publishes nothing more."""
        self._reason = Reason.EOS if error is None else Reason.ERROR
        self._ended_by, self._error = self.name, error
        return self._flush()

    @RELAYING.on(Event.ERROR, to=(FAILING, FLUSHING, DONE))
    def source_or_sink_failed(self, vio: VIO) -> State | None:
        """Read what the kernel still holds of a failed source; remove a failed sink."""
        if vio is not self.source:
            return self._remove(vio.vc, Reason.ERROR)
        if self._own_source:
            self._end(Reason.ERROR, vio.vc)
            self._error = vio.error
        if vio.vc.unread:
            self._read(vio.vc, vio.ndone)
            if self._own_source:
                return self.FAILING
            if self._source_timer is None:
                self._source_timer = StallTimer(self, FLUSH_S, self._received, self.source)
            return None
        return self._flush() if self._own_source else self._source_done(Reason.ERROR)

    @FLUSHING.on(Event.ERROR, to=(DONE,))
    def sink_failed_while_flushing(self, vio: VIO) -> State | None:
        """Remove a sink that failed before it had taken everything. The source may fail here too,
        after its end was read."""
        return self._remove(vio.vc, Reason.ERROR)

    @RELAYING.on(Event.INACTIVITY_TIMEOUT, to=(DONE,))
    @FLUSHING.on(Event.INACTIVITY_TIMEOUT, to=(DONE,))
    def timed_out_inactive(self, vio: VIO) -> State | None:
        """End or remove a VC that moved no bytes; give a blocked source more time."""
        if vio is self.source and self.blocked and self._stall_s:
            vio.vc.set_inactivity_timeout(self._stall_s)
            return None
        return self._vc_ended(vio, Reason.INACTIVITY)

    @RELAYING.on(STALLED, to=(DONE,))
    @FLUSHING.on(STALLED, to=(DONE,))
    def stalled(self, stalled: Sink | VIO) -> State | None:
        """Remove a sink that made no progress while data waits for it, or give back a failed lent
        source whose rest cannot be read."""
        if isinstance(stalled, VIO):
            return self._source_done(Reason.ERROR)
        if not stalled.undelivered:
            return None
        return self._remove(stalled.vc, Reason.INACTIVITY if self._stall_s else self._reason)

    @RELAYING.on(Event.ACTIVE_TIMEOUT, to=(DONE,))
    @FLUSHING.on(Event.ACTIVE_TIMEOUT, to=(DONE,))
    def timed_out_active(self, vio: VIO) -> State | None:
        """The active timeout of a VC has passed."""
        return self._vc_ended(vio, Reason.ACTIVE)

    @FLUSHING.on(Event.EOS, to=(DONE,))
    def sink_ended_while_flushing(self, vio: VIO) -> State | None:
        """Remove a sink that ended before it had taken everything."""
        return self._remove(vio.vc, Reason.SINK_ENDED)

    @FLUSHING.on(Event.WRITE_COMPLETE, to=(DONE,))
    def sink_flushed(self, vio: VIO) -> State | None:
        """Give back a sink that has taken everything."""
        return self._remove(vio.vc, self._reason)

    @RELAYING.on(REMOVE, to=(DONE,))
    @FLUSHING.on(REMOVE, to=(DONE,))
    def removed_by_owner(self, vc: VConnection) -> State | None:
        """Give back the VC for which the owner has called remove()."""
        if self.source is not None and vc is self.source.vc:
            return self._vc_ended(self.source, Reason.STOPPED)
        return self._remove(vc, Reason.STOPPED)

    @FLUSHING.on(FAIL, FINISH)
    def flushing_already(self, _: object) -> None:
        """Ignore fail() and finish(): the tunnel is ending already."""

    @RELAYING.on(STOP, to=DONE)
    @FLUSHING.on(STOP, to=DONE)
    def stopped(self, _: object) -> None:
        """End: the owner has called stop()."""
        self._reason, self._ended_by = Reason.STOPPED, self.name

    @DONE.enter
    def done(self) -> None:
        """Give all VCs back."""
        if self.source is not None and not self._own_source:
            self._source_done(self._reason)
        self._report(TunnelDone(self, self._reason, self._ended_by, self._error, self.flows))

    def finished(self) -> None:
        """Cancel all VIOs and timers, and release the buffer."""
        if self.source is not None:
            self.source.retire()
        self._stop_source_timer()
        for sink in self._sinks.values():
            sink.retire()
        self._fan.place.close()
        self._lag.close()

    # -- inside ------------------------------------------------------------------------------

    @property
    def _source_name(self) -> str:
        return self._source_vc.name if self._source_vc is not None else self.name

    def _report(self, report: Report) -> None:
        self.engine.schedule(self._owner, type(report), report)  # type: ignore[arg-type]

    def _read(self, source: VConnection, already_read: int = 0) -> None:
        self.source = source.read_on(self, None, self.buffer, already_read)
        self._fan.add_source(self.source)

    def _received(self) -> int:
        return self.source.ndone if self.source is not None else 0

    def _stop_source_timer(self) -> None:
        if self._source_timer is not None:
            self._source_timer.cancel()
            self._source_timer = None

    def _check_lag(self) -> State | None:
        """Apply the policies of the sinks that could not take the new data at once."""
        self._lag.trim()
        for vio in list(self._fan.behind):
            if self._lag.apply(self._sinks[vio.vc]):
                ended = self._remove(vio.vc, Reason.LAGGED)
                if ended is not None:
                    return ended
        self._fan.wake_sources()
        return None

    def _set_stall_timer(self, sink: Sink) -> None:
        """Limit how long a sink that lags or is flushed may take nothing."""
        seconds = self._stall_s
        if not seconds and self._reason is Reason.ERROR:
            seconds = flush_s(self._error, self._abort_s) if sink.required else FLUSH_S
        if not sink.lags and self.state is self.RELAYING:
            seconds = 0.0
        sink.limit_stall(self, seconds)

    def _sink_sent(self, vio: VIO) -> State | None:
        """Remove a sink that has sent data, if it is `receive_only`."""
        sink = self._sinks.get(vio.vc)
        if sink is None or not sink.receive_only:
            return None
        return self._remove(vio.vc, Reason.UNEXPECTED_DATA)

    def _flush(self) -> State:
        """Begin to flush: each sink leaves the Fan and takes the remaining data alone."""
        if self.source is not None and not self._own_source:
            self._source_done(Reason.STOPPED)
        for sink in self._sinks.values():
            self._fan.leave(sink.vio)
            sink.finish()
        return self.FLUSHING if self._sinks else self.DONE

    @FAILING.enter
    @FLUSHING.enter
    def flushing(self) -> None:
        """Start the stall timers: no sink may delay the end for ever."""
        for sink in self._sinks.values():
            self._set_stall_timer(sink)

    def _end(self, reason: Reason, vc: VConnection) -> State:
        self._reason, self._ended_by, self._error = reason, vc.name, vc.error
        return self.DONE

    def _vc_ended(self, vio: VIO, reason: Reason) -> State | None:
        """End the tunnel if the VC is its own source; give any other VC back alone."""
        if vio is not self.source:
            return self._remove(vio.vc, reason)
        return self._end(reason, vio.vc) if self._own_source else self._source_done(reason)

    def _source_done(self, reason: Reason) -> State | None:
        """Give a lent source back; another may follow."""
        vio, self.source = self.source, None
        assert vio is not None
        vio.retire()
        self._stop_source_timer()
        self._report(SourceDone(self, vio.vc, reason, vio.error, vio.ndone))
        return None

    def _remove(self, vc: VConnection, reason: Reason) -> State | None:
        """Give a sink back; return DONE if that ends the tunnel."""
        sink = self._sinks.pop(vc, None)
        if sink is None:
            return None  # this sink was removed before
        flow = sink.flow(self._source_name)
        if self.buffer.full:
            self._blocked_at = self.engine.now
        sink.retire()
        if reason is Reason.EOS:
            vc.do_io_shutdown(Shutdown.WRITE)
        error = self._error if vc.error is None and reason is self._reason else vc.error
        self._report(SinkDone(self, vc, reason, error, flow, sink.dropped))
        last = sink.required if self._ends == "any_required" else not self._sinks
        if self.state is not self.RELAYING:
            self._flushed.append(flow)
            if not self._sinks:
                return self.DONE
        elif last and self._ends != "never":
            return self._end(reason, vc)
        self._fan.wake_sources()  # this sink may have blocked the others
        return None
