"""SilenceWatch: logs a producer of a relay that sends nothing, and when it sends again.

A group to which no sender sends any more, or a device without a signal, gives no other sign.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vcproxy.engine.continuation import Continuation
from vcproxy.engine.event import Event
from vcproxy.engine.units import show_duration

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from vcproxy.engine.vconnection import VConnection
    from vcproxy.relay.relay import Relay


class SilenceWatch(Continuation):
    """Compares what was received, twice in each `silence` of the relay's options.

    Silence while the relay does not read, because a sink blocks it, does not count.

    Args:
        received: returns how many bytes were received of the producer.
    """

    def __init__(self, relay: Relay, vc: VConnection, received: Callable[[], int]) -> None:
        super().__init__(relay.engine, relay.mutex)
        self._relay = relay
        self._vc = vc
        self._received = received
        self._limit_s = relay.options.silence
        self._seen = received()
        self._since = relay.now
        self._silent = False
        self._timer = self.engine.schedule_every(self._limit_s / 2, self, Event.TIMEOUT, None)

    def handle_event(self, key: Hashable, data: object) -> None:
        """Compare."""
        relay, received = self._relay, self._received()
        if received == self._seen and not relay.tunnel.blocked:
            if not self._silent and relay.now - self._since >= self._limit_s:
                self._silent = True
                relay.counts["silences"] += 1
                limit = show_duration(self._limit_s)
                relay.log_peer("warning", self._vc.name, f"nothing received for {limit}")
            return
        if self._silent:
            spent = show_duration(round(relay.now - self._since))
            relay.log_peer("info", self._vc.name, f"data again, after about {spent}")
        self._seen, self._since, self._silent = received, relay.now, False

    def stop(self) -> None:
        """End: the producer is closed."""
        self._timer.cancel()
