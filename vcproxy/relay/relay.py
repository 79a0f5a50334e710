"""Relay: sends what producers send to every sink; a slow sink does not slow down the others.

There is one for each relay listener, on one engine. It owns all connections, lends them to a
OneWayMultiTunnel, and closes or reconnects each that the tunnel returns. Producers connect to it,
or a ReconnectingConnection connects to the source. Subscribers connect to it, and
ReconnectingConnections connect to the targets. When the rule `ends` ends the tunnel, all
connections are closed and the relay starts again with a new tunnel.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Any, ClassVar

from vcproxy.engine.net import NetVConnection
from vcproxy.engine.units import rounded_size
from vcproxy.framing.framing import UNFRAMED, Framing
from vcproxy.messages.verdict import Accept
from vcproxy.relay.joining import Joining
from vcproxy.relay.options import BYTES, DATAGRAMS, RelayOptions, refuse_framing
from vcproxy.relay.producer import Producer
from vcproxy.relay.producer_set import ProducerSet
from vcproxy.relay.sink_set import SinkSet
from vcproxy.relay.status import RelayStatus, SinkStatus
from vcproxy.sessions.line_limit import LineLimits
from vcproxy.sessions.program import Program, Signal
from vcproxy.tunnels.done import (
    Reason,
    SinkDone,
    SinkLags,
    SinkRecovered,
    SourceDone,
    TunnelDone,
    TunnelWritable,
)
from vcproxy.tunnels.one_way_multi import OneWayMultiTunnel
from vcproxy.upstream.reconnecting import Reconnected, ReconnectingConnection

if TYPE_CHECKING:
    from vcproxy.engine.address import Address
    from vcproxy.engine.engine import Engine
    from vcproxy.engine.log_function import Level
    from vcproxy.engine.vconnection import VConnection
    from vcproxy.messages.verdict import Reject, Resend
    from vcproxy.sessions.service import Service

ACTIONS = {
    "block": "all other sinks will wait for it",
    "drop_oldest": "its oldest messages are dropped",
    "drop_newest": "new messages are dropped for it",
}
"""What each lag policy does, for the log."""


class Relay(Program):
    """The base of relays. A subclass may change or drop each message.

    class Quotes(Relay):
        def edit(self, message):
            return None if message.startswith(b"#") else message

    """

    Options: ClassVar[type] = RelayOptions
    options: RelayOptions
    needs_upstream = False
    requests: ClassVar[Mapping[str, Framing]] = {}
    """How the request is framed that a subscriber sends before it is sent anything, by the option
    (see `binds`) with the address that it connected to. With other options it sends none; with
    `http_subscribers` always the head of an HTTP request."""
    machines = (OneWayMultiTunnel, ReconnectingConnection, Producer, Joining)

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        refuse_framing(cls)

    @classmethod
    def needs_bind(cls, options: RelayOptions) -> bool | None:
        """See Program: producers connect to `bind`, or the relay to its sources, or both."""
        return True if not options.source else None if options.served else False

    @classmethod
    def binds(cls, options: RelayOptions) -> Mapping[str, Sequence[Address]]:
        """See Program."""
        http = {"http_subscribers": options.http_subscribers} if options.http_subscribers else {}
        return {"subscribers": options.subscribers, **http}

    @classmethod
    def connects(cls, options: RelayOptions) -> Mapping[str, Sequence[Address]]:
        """See Program."""
        sources = [source.address for source in options.source]
        return {"source": sources, "targets": [target.to for target in options.targets]}

    @classmethod
    def unused_methods(cls, options: RelayOptions) -> Mapping[str, str]:
        """See Program."""
        if options.framing != BYTES:
            return {}
        return dict.fromkeys(("edit", "pack"), f'framing = "{BYTES}" has no messages: set framing')

    @classmethod
    def notes(cls, options: RelayOptions) -> Mapping[str, str]:
        """See Program."""
        return options.notes

    def __init__(self, engine: Engine, service: Service, write: Callable[[str], None]) -> None:
        super().__init__(engine, service, write)
        options = self.options
        assert isinstance(options, RelayOptions), "a relay's Options extend RelayOptions"
        self.counts: Counter[str] = service.counts
        self.producer: NetVConnection | None = None
        """The connection whose message `edit` has now: its `number` is unique. None outside it."""
        self._producers = ProducerSet(self, self._producer_framing(options))
        self._sinks = SinkSet()
        self._joining: set[Joining] = set()
        """Subscribers that `admit` has not accepted yet."""
        self._ending = False
        self.tunnel = self._start_tunnel()

    def _producer_framing(self, options: RelayOptions) -> Framing | None:
        """Return the framing of a Producer; None: the tunnel reads producers itself."""
        if options.streams:
            return options.message_framing
        own = type(self)
        edits = own.edit is not Relay.edit or own.pack is not Relay.pack
        copies = edits or len(options.source) > 1
        return UNFRAMED if copies and options.framing == DATAGRAMS else None

    # -- for authors -------------------------------------------------------------------------

    def edit(self, message: bytes) -> bytes | None:
        """Return what is sent to the sinks for a message; None: nothing. To be overridden.

        It is called for each message of a stream with a framing, and for each datagram. With
        framing = "none" there are no messages, and `-t` refuses a class that overrides it, or
        `pack`. If it raises, that producer is closed.
        """
        return message

    def pack(self, messages: list[bytes]) -> list[bytes]:
        """Return what is sent for encoded messages that were read at once: to join small ones. To
        be overridden. If it raises, that producer is closed."""
        return messages

    def admit(self, subscriber: NetVConnection, request: bytes) -> Accept | Reject | Resend:
        """Return what is done with a subscriber, whose request may be empty. To be overridden.

        - Accept: it becomes a sink, after the bytes of `wait`, if any, were sent.
        - Resend: it is sent the answer, and may send another request.
        - Reject: it is sent the answer, and closed.

        A subscriber that is not accepted within 10 seconds is closed. What it sends behind its
        request is dropped. If `admit` raises, or returns anything else, the subscriber is reset.
        The base answers clients of `http_subscribers`, and accepts all others.
        """
        if self.bind_option(subscriber) != "http_subscribers":
            return Accept()
        from vcproxy.relay import http_subscription  # most relays need no HTTP

        options, wall = self.options, self.engine.wall
        return http_subscription.answer(request, options.http_path, options.content_type, wall)

    def status(self) -> RelayStatus:
        """Return the current counts, as values that do not change afterwards.

        Call it on the relay's net thread, for example in a receiver or a timer of its engine. From
        another thread use `Proxy.status()`.
        """
        missed = Counter({"missed": self._producers.missed})
        sinks = tuple(self._sinks.statuses(self.tunnel.sink_statistics()))
        return RelayStatus(self._producers.received(), sinks, dict(self.counts + missed))

    def sinks(self) -> Iterator[SinkStatus]:
        """Yield the status of each sink that there is now, when its turn comes. See `status`."""
        for status in self._sinks.one_by_one(self.tunnel.statistics_of):
            yield self._with_policy(status)

    def _with_policy(self, status: SinkStatus) -> SinkStatus:
        """Return the status of a sink; of a target that is not connected, with its policy."""
        if status.up:
            return status
        target = next(each for each in self.options.targets if str(each.to) == status.name)
        return replace(status, policy=self.options.lag_of(target))

    # -- start and stop ----------------------------------------------------------------------

    def start(self) -> None:
        """Connect to the source and the targets."""
        for source in self.options.source:
            link = self._connected_to(source.address, source.opening, subscribe=True)
            self._producers.sources.append(link)
        for target in self.options.targets:
            link = self._connected_to(target.to, target.opening, subscribe=False)
            self._sinks.targets[link] = target

    def _connected_to(
        self, to: Address, opening: bytes, *, subscribe: bool
    ) -> ReconnectingConnection:
        service = self.service
        link = ReconnectingConnection(
            self, to, name=f"{service.name} {to}", tls=service.connect_tls, subscribe=subscribe,
            opening=opening, connect_s=service.connect_s,
        )  # fmt: skip
        link.start()
        return link

    def stop(self) -> None:
        """See Program."""
        self._ending = True
        self.tunnel.abandon()
        self._close_all("the relay was stopped")
        for link in self._links:
            link.stop()
        super().stop()

    def _start_tunnel(self) -> OneWayMultiTunnel:
        """Return a new tunnel, without any source or sink."""
        options = self.options
        with self.mutex.hold(self.engine):
            tunnel = OneWayMultiTunnel(
                self,
                message_oriented=options.framing != "none",
                ends=options.ends,
                history=options.kept,
                stall_s=self.service.inactivity_s,
                name=self.service.name,
            )
            tunnel.start()
        return tunnel

    def _finish(self) -> None:
        """Flush the buffered data to the sinks and close everything: the process will end."""
        self._ending = True
        for link in self._links:
            if not self._sinks.connected(link):
                link.stop()
        self._close_joining()
        for producer in self._producers.readers:
            producer.stop()
        self.tunnel.finish()

    def _tunnel_ended(self, done: TunnelDone) -> None:
        """Close all connections, and start a new tunnel unless the process will end."""
        self._close_all("the relay has ended")
        if not self._ending:
            cause = f"{done.reason.value} ({done.ended_by})"
            self.log_peer("warning", self.service.name, f"relay ended, and starts again: {cause}")
            self.tunnel = self._start_tunnel()

    def _close_all(self, why: str) -> None:
        for counts in self.tunnel.sink_statistics():
            self.counts["left"] += 1
            link = self._sinks.remove(counts.sink, counts.sent, counts.dropped)
            self.close_connection(counts.sink, link, why, undelivered=counts.undelivered)
        self._close_joining()
        self._producers.close_all(why)

    def _close_joining(self) -> None:
        for joining in self._joining:
            joining.abandon()
        self._joining.clear()

    @property
    def _links(self) -> Iterable[ReconnectingConnection]:
        return chain(self._producers.sources, self._sinks.targets)

    def close_connection(
        self,
        vc: VConnection,
        link: ReconnectingConnection | None,
        why: str,
        *,
        error: Exception | None = None,
        undelivered: int = 0,
    ) -> None:
        """Close a connection: with a reset if it failed or data for it was not delivered.

        Its link, if any, reconnects unless the relay is ending.
        """
        vc.do_io_close(error or (ConnectionError(why) if undelivered else None))
        if link is not None and self._ending:
            link.stop()
        elif link is not None:
            link.lost(why)

    # -- events ------------------------------------------------------------------------------

    def handle_event(self, key: Hashable, data: object) -> None:
        """Handle new connections, and the events of the tunnel and of producers."""
        match data:
            case NetVConnection():
                self._accepted(data)
            case Reconnected():
                self._connected(data)
            case SourceDone():
                self._producers.done(data)
            case SinkDone():
                self._sink_done(data)
            case SinkLags():
                self.counts["lagged"] += 1
                lag, action = rounded_size(data.lag), ACTIONS[data.on_lag]
                self.log_peer("warning", data.sink.name, f"sink lags {lag} behind: {action}")
            case SinkRecovered():
                self.counts["recovered"] += 1
                dropped = f"; {data.dropped} so far" if data.dropped.messages else ""
                self.log_peer("info", data.sink.name, f"sink recovered{dropped}")
            case TunnelWritable():
                for producer in self._producers.readers:
                    self.engine.schedule(producer, TunnelWritable, data)
            case TunnelDone():
                self._tunnel_ended(data)
            case Signal():
                self._finish()

    def _accepted(self, vc: NetVConnection) -> None:
        vc.set_active_timeout(self.service.active_s)
        if self._ending:
            vc.do_io_close()
        elif not self.bind_option(vc):
            self._producers.admit(vc)
        elif self.bind_option(vc) == "http_subscribers":
            from vcproxy.relay import http_subscription

            self._join(vc, http_subscription.RequestHead(), http_subscription.without_credentials)
        elif type(self).admit is Relay.admit:
            self._add_sink(vc, None)
        else:
            self._join(vc, self.requests.get(self.bind_option(vc)))

    def _join(
        self,
        vc: NetVConnection,
        framing: Framing | None,
        shown: Callable[[bytes], bytes] | None = None,
    ) -> None:
        joining = Joining(self, vc, framing, shown)
        self._joining.add(joining)
        joining.start()

    def joined(self, joining: Joining, vc: NetVConnection | None) -> None:
        """Add a subscriber that `admit` has accepted. None: it was closed."""
        self._joining.discard(joining)
        if vc is not None:
            self._add_sink(vc, None)

    def _connected(self, up: Reconnected) -> None:
        link = up.connection
        if self.service.access_log is not None:
            from vcproxy.access_log.record import LegRecord  # most relays have no access log

            name = self.service.name
            up.vc.record = LegRecord(
                self.service.access_log, up.vc, str(link.target), listener=name
            )
        if link in self._producers.sources:
            self._producers.add(up.vc, link)
        else:
            self._add_sink(up.vc, link)

    # -- sinks -------------------------------------------------------------------------------

    def _add_sink(self, vc: NetVConnection, link: ReconnectingConnection | None) -> None:
        options = self.options
        self._sinks.add(vc, link)
        self.counts["joined"] += 1
        self.log_peer("info", vc.name, f"sink connected; {self._sinks}")
        if link is None:
            receive_only = options.subscriber_data == "close"
            lag, join = options.lag, options.join
            self.tunnel.add_sink(vc, lag=lag, join=join, receive_only=receive_only)
        else:
            target = self._sinks.targets[link]
            join, lag = target.join or options.join, options.lag_of(target)
            self.tunnel.add_sink(vc, required=target.required, lag=lag, join=join)

    def _sink_done(self, done: SinkDone) -> None:
        vc, sent = done.sink, done.flow.sent
        link = self._sinks.remove(vc, sent, done.dropped)
        self.counts["left"] += 1
        why = f"{done.reason.value}{f': {done.error}' if done.error else ''}"
        dropped = f", {done.dropped}" if done.dropped.messages else ""
        self.log_peer(
            "info",
            vc.name,
            f"sink closed: {why}; {rounded_size(sent)} sent{dropped}; {self._sinks}",
        )
        if vc.record is not None:
            vc.record.dropped = done.dropped.messages
            if done.reason is Reason.LAGGED:
                vc.record.note("G", why)
            elif done.reason is Reason.UNEXPECTED_DATA:
                vc.record.note("C", why)
        self.close_connection(vc, link, why, error=done.error, undelivered=done.undelivered)

    def log_peer(self, level: Level, peer: str, what: str, kind: str = "") -> None:
        """Log a line: the listener's name, the peer's (a link's includes both), what happened.
        `kind`: see log_seldom; "": every line."""
        name = self.service.name
        text = f"{peer if peer.startswith(name) else f'{name} {peer}'}: {what}"
        if kind:
            self.service.share(LineLimits).of(kind).log(self.engine, level, text)
        else:
            self.engine.log(level, text)
