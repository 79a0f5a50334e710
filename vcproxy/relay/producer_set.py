"""ProducerSet: the producers of a relay, and which of them it reads.

Producers connect to the listener, and ReconnectingConnections connect to the sources. The option
`producers` decides what is done with a second one that connects; all sources are read.

Tested in tests/relay/test_relay.py.
"""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

from vcproxy.engine.units import rounded_size, show_duration
from vcproxy.relay.producer import Producer
from vcproxy.tunnels.done import Reason, SourceDone

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vcproxy.engine.log_function import Level
    from vcproxy.engine.net import NetVConnection
    from vcproxy.engine.vconnection import VConnection
    from vcproxy.framing.framing import Framing
    from vcproxy.relay.relay import Relay
    from vcproxy.relay.silence import SilenceWatch
    from vcproxy.upstream.reconnecting import ReconnectingConnection


class ProducerSet:
    """The connections that a relay reads. They belong to it, and its mutex is held.

    Args:
        framing: how messages of a Producer are framed; None: the tunnel reads the connections.
    """

    def __init__(self, relay: Relay, framing: Framing | None) -> None:
        self.sources: list[ReconnectingConnection] = []
        """What keeps the relay connected to its sources."""
        self._relay = relay
        self._framing = framing
        self._producers: dict[VConnection, Producer | None] = {}
        """The Producer of each connection. None: there is no framing, and the tunnel reads it."""
        self._links: dict[VConnection, ReconnectingConnection] = {}
        """Of the connections to sources: what keeps each connected."""
        self._watches: dict[VConnection, SilenceWatch] = {}
        self._successor: NetVConnection | None = None
        """The producer that is added when the tunnel has returned the one before it."""
        self._began_at = 0.0
        """When the last producer began."""

    @property
    def readers(self) -> Iterable[Producer]:
        """The Producers, which read messages."""
        return filter(None, self._producers.values())

    @property
    def missed(self) -> int:
        """Messages that the present sources had to drop before they were read."""
        return sum(vc.missed for vc in self._producers)

    def received(self) -> Counter[str]:
        """Return the bytes received from each producer, by its name."""
        counts: Counter[str] = Counter()
        for vc in self._producers:
            counts[vc.name] += self._received_from(vc)
        return counts

    def _received_from(self, vc: VConnection) -> int:
        producer, source = self._producers[vc], self._relay.tunnel.source
        if producer is not None:
            return producer.received
        return source.ndone if source is not None else 0

    def admit(self, vc: NetVConnection) -> None:
        """Add or refuse a producer that has connected, or replace the present one by it."""
        relay = self._relay
        present = next(iter(self._producers), None)
        policy = relay.options.producers
        if not relay.options.served:
            self._refuse(vc, f"the source is {relay.options.source[0].address}")
        elif present is None or policy == "interleave":
            self.add(vc)
        elif policy == "exclusive" and not self._silent(present):
            self._refuse(vc, f'{present.name} is the producer, and producers = "exclusive"')
        else:
            if policy == "exclusive":
                relay.counts["silent"] += 1
                limit, name = show_duration(relay.options.first_message), present.name
                relay.log_peer("warning", name, f"no message for {limit}; replaced by {vc.name}")
            if self._successor is not None:
                self._refuse(self._successor, f"{vc.name} connected after it")
            self._successor = vc
            producer = self._producers[present]
            if producer is not None:
                producer.stop()
            else:
                relay.tunnel.remove(present)

    def _silent(self, vc: VConnection) -> bool:
        """Whether a producer has sent nothing within `first_message`."""
        relay = self._relay
        producer, source = self._producers[vc], relay.tunnel.source
        limit_s = relay.options.first_message
        if producer is not None:
            started = producer.started
        else:
            started = source is not None and source.ndone > 0
        return bool(limit_s) and relay.engine.now - self._began_at >= limit_s and not started

    def _refuse(self, vc: NetVConnection, why: str) -> None:
        self._relay.counts["refused"] += 1
        self._relay.log_peer("warning", vc.name, f"producer refused: {why}")
        if vc.record is not None:
            vc.record.note("P", why)
        vc.do_io_close(ConnectionRefusedError(why))

    def add(self, vc: NetVConnection, link: ReconnectingConnection | None = None) -> None:
        """Read a connection. `link`: what keeps it connected, if it is a source's."""
        relay = self._relay
        if link is not None:
            self._links[vc] = link
        relay.log_peer("info", vc.name, "producer connected")
        self._began_at = relay.engine.now
        inactivity_s = relay.service.inactivity_s
        if not vc.message_oriented:  # datagrams have no connection that could be dead
            vc.set_inactivity_timeout(inactivity_s)
        if self._framing is None:
            self._producers[vc] = None
            relay.tunnel.add_source(vc)
        else:
            producer = self._producers[vc] = Producer(
                relay,
                relay.tunnel,
                vc,
                self._framing,
                editor=relay,
                inactivity_s=inactivity_s,
            )
            producer.start()
        if relay.options.silence:
            from vcproxy.relay.silence import SilenceWatch  # most relays may be silent

            self._watches[vc] = SilenceWatch(relay, vc, partial(self._received_from, vc))

    def done(self, done: SourceDone) -> None:
        """Close a connection that has been read; add the one that replaces it."""
        relay, vc = self._relay, done.source
        if vc not in self._producers:
            return  # closed already, when the tunnel ended
        del self._producers[vc]
        self._stop_watch(vc)
        relay.counts["missed"] += vc.missed
        why = f"{done.reason.value}{f': {done.error}' if done.error else ''}"
        level: Level = "warning" if done.reason is Reason.FRAMING else "info"
        size = rounded_size(done.received)
        relay.log_peer(level, vc.name, f"producer closed: {why}; {size} received")
        error = None if done.reason is Reason.EOS else done.error
        if vc.record is not None:
            vc.record.dropped = vc.missed
            if done.reason is Reason.FRAMING:
                vc.record.note("C", why)
        relay.close_connection(vc, self._links.pop(vc, None), why, error=error)
        successor, self._successor = self._successor, None
        if successor is not None and not successor.closed:
            self.add(successor)

    def close_all(self, why: str) -> None:
        """Close all connections; what was read of them and not published is dropped."""
        for producer in self.readers:
            producer.abandon()
        for vc in filter(None, (*self._producers, self._successor)):
            self._stop_watch(vc)
            self._relay.close_connection(vc, self._links.pop(vc, None), why)
        self._producers.clear()
        self._successor = None

    def _stop_watch(self, vc: VConnection) -> None:
        watch = self._watches.pop(vc, None)
        if watch is not None:
            watch.stop()
