"""Relay: what producers say goes to every sink, and none is slowed by the slowest.

One for a listener, on one engine. It owns all connections, lends them to a OneWayMultiTunnel, and
says what becomes of each. Producers connect, or a ReconnectingConnection connects to the source;
subscribers connect, or ReconnectingConnections connect to the targets. A rule (`ends`) may end the
tunnel: all connections are closed, and the relay begins anew.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from vcproxy.engine.net import NetVConnection
from vcproxy.engine.units import rounded_size, show_duration
from vcproxy.framing.framing import UNFRAMED, Framing
from vcproxy.relay.options import BYTES, DATAGRAMS, RelayOptions, Target
from vcproxy.relay.producer import Producer
from vcproxy.relay.status import RelayStatus, SinkStatus
from vcproxy.sessions.program import Program, Signal
from vcproxy.tunnels.done import (
    Dropped,
    Reason,
    SinkDone,
    SinkLags,
    SinkRecovered,
    SourceDone,
    TunnelDone,
    TunnelRoom,
)
from vcproxy.tunnels.one_way_multi import OneWayMultiTunnel
from vcproxy.upstream.reconnecting import Reconnected, ReconnectingConnection

if TYPE_CHECKING:
    from vcproxy.engine.address import Address
    from vcproxy.engine.engine import Engine, Level
    from vcproxy.engine.vconnection import VConnection
    from vcproxy.sessions.service import Service


class Relay(Program):
    """The base of relays. A subclass may change each message on its way.

    class Quotes(Relay):
        def edit(self, message):
            return None if message.startswith(b"#") else message

    """

    Options: ClassVar[type] = RelayOptions
    needs_upstream = False
    machines = (OneWayMultiTunnel, ReconnectingConnection, Producer)

    @classmethod
    def needs_bind(cls, options: RelayOptions) -> bool:
        """See Program: producers come in there, or there is a source."""
        return options.source is None

    @classmethod
    def binds(cls, options: RelayOptions) -> Mapping[str, Sequence[Address]]:
        """See Program."""
        return {"subscribers": options.subscribers}

    @classmethod
    def connects(cls, options: RelayOptions) -> Mapping[str, Sequence[Address]]:
        """See Program."""
        source = () if options.source is None else (options.source,)
        return {"source": source, "targets": [target.to for target in options.targets]}

    @classmethod
    def unused_methods(cls, options: RelayOptions) -> Mapping[str, str]:
        """See Program."""
        if options.framing != BYTES:
            return {}
        return {"edit": f'framing = "{BYTES}" has no messages: say how they are told apart'}

    @classmethod
    def notes(cls, options: RelayOptions) -> Mapping[str, str]:
        """See Program."""
        return options.notes

    def __init__(self, engine: Engine, service: Service, write: Callable[[str], None]) -> None:
        super().__init__(engine, service, write)
        options: Any = service.options
        assert isinstance(options, RelayOptions), "a relay's Options extend RelayOptions"
        self.options = options
        self.counts: Counter[str] = service.counts
        self._framing = self._found_by(options)
        self._producers: dict[VConnection, Producer | None] = {}
        self._heir: NetVConnection | None = None  # it takes the place of a producer that is stopped
        self._began_at = 0.0  # when the last producer did
        self._sinks: dict[VConnection, ReconnectingConnection | None] = {}
        self._targets: dict[ReconnectingConnection, Target] = {}
        self._before: dict[
            ReconnectingConnection, tuple[int, Dropped]
        ] = {}  # bytes given, of lost connections
        self._source: ReconnectingConnection | None = None
        self._ending = False
        self.tunnel = self._begin()

    def _found_by(self, options: RelayOptions) -> Framing | None:
        """What a Producer finds messages by; None: it need not, for nobody looks at them."""
        if options.streams:
            return options.message_framing
        edits = type(self).edit is not Relay.edit
        return UNFRAMED if edits and options.framing == DATAGRAMS else None

    # -- for authors -------------------------------------------------------------------------

    def edit(self, message: bytes) -> bytes | None:
        """Return what sinks get for a message; None: nothing. To be overridden.

        It is called for each message of a stream with a framing, and for each datagram; with
        framing = "none" there are no messages, and `-t` refuses a class that overrides it. If it
        raises, that producer is closed.
        """
        return message

    def status(self) -> RelayStatus:
        """How it stands now, as values that stay as they are.

        To be called on its net thread, as in a receiver or a callback of its engine; from another
        one ask `Proxy.status()`.
        """
        source = self.tunnel.source
        brought = source.ndone if source is not None else 0
        producers: Counter[str] = Counter()
        for vc, producer in self._producers.items():
            producers[vc.name] += brought if producer is None else producer.taken
        missed = Counter({"missed": sum(vc.missed for vc in self._producers)})
        return RelayStatus(producers, tuple(self._standings()), dict(self.counts + missed))

    # -- beginning and end -------------------------------------------------------------------

    def start(self) -> None:
        """Connect to what the options name."""
        service, options = self.service, self.options

        def link(place: Address, hears: bool) -> ReconnectingConnection:
            tls, connect_s = service.connect_tls, service.connect_s
            name = f"{service.name} {place}"
            made = ReconnectingConnection(
                self, place, name=name, tls=tls, hears=hears, connect_s=connect_s
            )
            made.start()
            return made

        if options.source is not None:
            self._source = link(options.source, hears=True)
        for target in options.targets:
            self._targets[link(target.to, hears=False)] = target

    def stop(self) -> None:
        """See Program."""
        self._ending = True
        self.tunnel.abandon()
        self._close_all("the relay was stopped")
        for link in self._links:
            link.stop()
        super().stop()

    def _begin(self) -> OneWayMultiTunnel:
        """Make the tunnel of a new round, which has nobody in it yet."""
        options = self.options
        with self.mutex.hold(self.engine):
            tunnel = OneWayMultiTunnel(
                self,
                message_oriented=options.framing != "none",
                ends=options.ends,
                history=options.kept,
                patience_s=self.service.inactivity_s,
                name=self.service.name,
            )
            tunnel.start()
        return tunnel

    def _finish(self) -> None:
        """The process ends: what has been read reaches the sinks, and all is closed."""
        self._ending = True
        for link in self._links:
            if link not in self._sinks.values():
                link.stop()
        for producer in self._readers:
            producer.stop()
        self.tunnel.finish()

    def _ended(self, done: TunnelDone) -> None:
        """A round is over: nobody stays."""
        self._close_all("the relay has ended")
        if not self._ending:
            cause = f"{done.reason.value} ({done.who})"
            self._log("warning", self.service.name, f"ends, and begins anew: {cause}")
            self.tunnel = self._begin()

    def _close_all(self, why: str) -> None:
        for each in self.tunnel.standings():
            link = self._sinks.pop(each.sink)
            self.counts["left"] += 1
            self._remember(link, each.given, each.dropped)
            self._give_up(each.sink, link, why, owed=each.due)
        for producer in self._readers:
            producer.abandon()
        for vc in filter(None, (*self._producers, self._heir)):
            self._give_up(vc, self._source, why)
        self._producers.clear()
        self._heir = None

    @property
    def _links(self) -> Iterable[ReconnectingConnection]:
        return filter(None, (self._source, *self._targets))

    @property
    def _readers(self) -> Iterable[Producer]:
        return filter(None, self._producers.values())

    def _give_up(
        self,
        vc: VConnection,
        link: ReconnectingConnection | None,
        why: str,
        *,
        error: Exception | None = None,
        owed: int = 0,
    ) -> None:
        """Close a connection: in order, unless something is wrong or it should have got more.

        One of a link is made again, unless this is the end.
        """
        vc.do_io_close(error or (ConnectionError(why) if owed else None))
        if link is not None and self._ending:
            link.stop()
        elif link is not None:
            link.lost(why)

    # -- events ------------------------------------------------------------------------------

    def handle_event(self, key: Hashable, data: object) -> None:
        """Take whoever comes, and the tunnel's news."""
        match data:
            case NetVConnection():
                self._came(data)
            case Reconnected():
                self._linked(data)
            case SourceDone():
                self._producer_left(data)
            case SinkDone():
                self._sink_left(data)
            case SinkLags():
                self.counts["lagged"] += 1
                behind = f"lags {rounded_size(data.lag)} behind"
                self._log("warning", data.sink.name, f"{behind}: {ACTIONS[data.then]}")
            case SinkRecovered():
                self.counts["recovered"] += 1
                lost = f"; so far {data.dropped}" if data.dropped.messages else ""
                self._log("info", data.sink.name, f"has recovered{lost}")
            case TunnelRoom():
                for producer in self._readers:
                    self.engine.schedule(producer, TunnelRoom, data)
            case TunnelDone():
                self._ended(data)
            case Signal():
                self._finish()

    def _came(self, vc: NetVConnection) -> None:
        vc.set_active_timeout(self.service.active_s)
        if self._ending:
            vc.do_io_close()
        elif self.bind_option(vc):
            self._join(vc, None)
        else:
            self._admit(vc)

    def _linked(self, up: Reconnected) -> None:
        link = up.link
        if link is self._source:
            self._produce(up.vc)
        else:
            self._join(up.vc, link)

    # -- producers ---------------------------------------------------------------------------

    def _admit(self, vc: NetVConnection) -> None:
        """A producer has connected: say whether it may speak."""
        present = next(iter(self._producers), None)
        policy = self.options.producers
        if self._source is not None:
            self._refuse(vc, f"the source is {self._source.target}")
        elif present is None or policy == "interleave":
            self._produce(vc)
        elif policy == "exclusive" and not self._silent(present):
            self._refuse(vc, f'{present.name} is the producer, and producers = "exclusive"')
        else:
            if policy == "exclusive":
                self.counts["silent"] += 1
                silent = f"has sent no message for {show_duration(self.options.first_message)}"
                self._log("warning", present.name, f"{silent}: {vc.name} takes its place")
            if self._heir is not None:
                self._refuse(self._heir, f"{vc.name} came after it")
            self._heir = vc
            producer = self._producers[present]
            if producer is not None:
                producer.stop()
            else:
                self.tunnel.remove(present)

    def _silent(self, vc: VConnection) -> bool:
        """Whether a producer has had time enough to begin, and has sent nothing."""
        producer, source, patience_s = (
            self._producers[vc],
            self.tunnel.source,
            self.options.first_message,
        )
        spoken = source is not None and source.ndone > 0 if producer is None else producer.spoken
        late = bool(patience_s) and self.engine.now - self._began_at >= patience_s
        return late and not spoken

    def _refuse(self, vc: NetVConnection, why: str) -> None:
        self.counts["refused"] += 1
        self._log("warning", vc.name, f"is refused: {why}")
        vc.do_io_close(ConnectionRefusedError(why))

    def _produce(self, vc: NetVConnection) -> None:
        self._log("info", vc.name, "produces")
        self._began_at = self.engine.now
        if not vc.message_oriented:  # where there is no connection, none can be dead
            vc.set_inactivity_timeout(self.service.inactivity_s)
        if self._framing is None:
            self._producers[vc] = None
            self.tunnel.feed(vc)
        else:
            producer = self._producers[vc] = Producer(self, vc, self._framing)
            producer.start()

    def _producer_left(self, done: SourceDone) -> None:
        vc = done.source
        if vc not in self._producers:
            return  # with its round
        del self._producers[vc]
        self.counts["missed"] += vc.missed
        why = f"{done.reason.value}{f': {done.error}' if done.error else ''}"
        level: Level = "warning" if done.reason is Reason.GARBLED else "info"
        self._log(level, vc.name, f"produces no more: {why}; {rounded_size(done.taken)} taken")
        error = None if done.reason is Reason.EOS else done.error
        self._give_up(vc, self._source, why, error=error)
        heir, self._heir = self._heir, None
        if heir is not None and not heir.closed:
            self._produce(heir)

    # -- sinks -------------------------------------------------------------------------------

    def _join(self, vc: NetVConnection, link: ReconnectingConnection | None) -> None:
        options = self.options
        self._sinks[vc] = link
        self.counts["joined"] += 1
        self._log("info", vc.name, f"joins; {self._present}")
        if link is None:
            mute = options.subscriber_data == "close"
            self.tunnel.add(vc, lag=options.lag, join=options.join, mute=mute)
        else:
            target = self._targets[link]
            join, lag = target.join or options.join, options.lag_of(target)
            self.tunnel.add(vc, required=target.required, lag=lag, join=join)

    def _sink_left(self, done: SinkDone) -> None:
        vc = done.sink
        link = self._sinks.pop(vc)
        self.counts["left"] += 1
        why = f"{done.reason.value}{f': {done.error}' if done.error else ''}"
        lost = f", {done.dropped}" if done.dropped.messages else ""
        given = f"{rounded_size(done.flow.given)} given{lost}"
        self._log("info", vc.name, f"leaves: {why}; {given}; {self._present}")
        self._remember(link, done.flow.given, done.dropped)
        self._give_up(vc, link, why, error=done.error, owed=done.owed)

    def _remember(self, link: ReconnectingConnection | None, given: int, dropped: Dropped) -> None:
        """Count what a connection has had that is over, where another will follow it."""
        if link is not None:
            earlier, lost = self._before.get(link, NOTHING)
            self._before[link] = earlier + given, lost + dropped

    @property
    def _present(self) -> str:
        count = len(self._sinks)
        return f"{count} sink{'' if count == 1 else 's'}"

    def _standings(self) -> Iterator[SinkStatus]:
        """Those of targets first, in the order of the options, then subscribers as they came."""
        present = [each for each in self.tunnel.standings() if each.sink in self._sinks]
        up = {link: each for each in present if (link := self._sinks[each.sink]) is not None}
        for link, target in self._targets.items():
            given, dropped = self._before.get(link, NOTHING)
            here, name = up.get(link), str(target.to)
            if here is None:
                status = SinkStatus(name, False, given, dropped)
            else:
                given, dropped = given + here.given, dropped + here.dropped
                status = SinkStatus(name, True, given, dropped, here.lag, here.heard)
            yield replace(status, reconnects=link.reconnects, required=target.required)
        for here in present:
            if self._sinks[here.sink] is None:
                name = here.sink.name
                yield SinkStatus(name, True, here.given, here.dropped, here.lag, here.heard)

    def _log(self, level: Level, who: str, what: str) -> None:
        """Log a line, with the listener's name before one of those that it connects to."""
        name = self.service.name
        self.engine.log(level, f"{who if who.startswith(name) else f'{name} {who}'}: {what}")


ACTIONS = {
    "block": "the others wait for it soon",
    "drop_oldest": "its oldest messages are dropped",
    "drop_newest": "new messages are dropped for it",
}

NOTHING = 0, Dropped()
