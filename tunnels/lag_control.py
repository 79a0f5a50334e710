"""LagControl: finds the sinks of a OneWayMultiTunnel that lag, and applies their policies.

It also keeps the history, which is a reader of the same buffer. The tunnel moves the data; this
class decides how much of it is held, and for which sink messages are dropped.

Tested in tests/tunnels/test_lag.py.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from vcproxy.engine.blocks import SLAB
from vcproxy.tunnels.done import SinkLags, SinkRecovered

if TYPE_CHECKING:
    from collections.abc import Callable

    from vcproxy.engine.continuation import Continuation
    from vcproxy.engine.fan import Fan
    from vcproxy.engine.iobuffer import Reader
    from vcproxy.tunnels.history import History, Join
    from vcproxy.tunnels.lag_policy import LagPolicy
    from vcproxy.tunnels.sink import Sink

STEADY = "STEADY"
"""Tag: a sink that lagged has kept up for STEADY_S."""

STEADY_S = 1.0
"""Seconds that a sink which lagged must keep up to have recovered. A sink that is only just fast
enough falls behind and catches up a hundred times a second; that is reported once."""


class LagControl:
    """Applies lag policies to the sinks of `fan`, and keeps the history.

    Args:
        owner: the tunnel; it gets STEADY with a sink, and calls `recovered`.
        notify: gets SinkLags and SinkRecovered.
        lag_changed: called when a sink begins or ceases to lag, to set its stall timer.
    """

    __slots__ = ("_compacts", "_history", "_lag_changed", "_notify", "_oldest", "_owner", "fan")

    def __init__(
        self,
        owner: Continuation,
        fan: Fan,
        history: History,
        notify: Callable[[SinkLags | SinkRecovered], None],
        lag_changed: Callable[[Sink], None],
    ) -> None:
        self._owner = owner
        self.fan = fan
        self._history = history
        self._notify, self._lag_changed = notify, lag_changed
        self._compacts = False
        """Whether partly filled slabs are copied, so that the data occupies less memory."""
        self._oldest: Reader | None = None
        if history.bytes:
            self._oldest = fan.buffer.reader()
            self._compacts = not fan.buffer.message_oriented
            self._reserve(history.bytes + SLAB)

    def place(self, join: Join) -> Reader:
        """Return a reader at the place where a new sink begins."""
        if join == "tail" and self._oldest is not None:
            return self._oldest.clone()
        return self.fan.buffer.reader()

    def policy_for(self, lag: LagPolicy, reader: Reader) -> LagPolicy:
        """Return the policy of a new sink: history before its place does not count as lag."""
        return replace(lag, max_lag=lag.max_lag + reader.occupied)

    def added(self, sink: Sink) -> None:
        """Raise the limit of the buffer, if the policy of a new sink needs more."""
        if sink.policy.on_lag == "block":
            self._reserve(sink.policy.max_lag)
        else:
            self._reserve(sink.policy.max_lag + SLAB)
            self._compacts = not self.fan.buffer.message_oriented

    def trim(self) -> None:
        """Release memory that is not needed, after data that not all sinks could take at once."""
        if self._compacts:
            self.fan.buffer.compact()
        if self._oldest is not None:
            self._history.trim(self._oldest)

    def apply(self, sink: Sink) -> bool:
        """Apply the policy of a sink that is behind; return whether it is to be disconnected."""
        policy = sink.policy
        if policy.on_lag == "block":
            if 2 * sink.lag >= policy.max_lag:
                self._lagging(sink)
        elif sink.excessive:
            if policy.on_lag == "disconnect":
                return True
            self._lagging(sink)
            sink.drop()
            self._reserve(sink.lag + SLAB)  # a message above max_lag must not block the others
        return False

    def progressed(self, sink: Sink) -> None:
        """Update a sink that lags or reads a private buffer, after it has taken some bytes."""
        vio = sink.vio
        if sink.resume():
            self.fan.catch_up(vio)
            vio.reenable()
        if sink.level or not (sink.lags or sink.resume_at):
            vio.pending = True  # WRITE_READY is no longer requested
            if sink.lags:
                sink.lags = False
                self._lag_changed(sink)
                schedule_in = self._owner.engine.schedule_in
                sink.steady = schedule_in(STEADY_S, self._owner, STEADY, sink)

    def recovered(self, sink: Sink) -> None:
        """Report that a sink has recovered: it has kept up for STEADY_S."""
        sink.steady = None
        self._notify(SinkRecovered(self._owner, sink.vc, sink.dropped))

    def close(self) -> None:
        """Release the history."""
        if self._oldest is not None:
            self._oldest.close()

    def _lagging(self, sink: Sink) -> None:
        """Report that a sink lags, once until it has recovered."""
        if not sink.lags:
            sink.lags = True
            sink.vio.pending = False  # request WRITE_READY when the sink accepts data
            self._lag_changed(sink)
            if sink.steady is None:
                self._notify(SinkLags(self._owner, sink.vc, sink.lag, sink.policy.on_lag))
            else:
                sink.steady.cancel()
                sink.steady = None

    def _reserve(self, size: int) -> None:
        """Let the buffer hold at least `size` bytes."""
        buffer = self.fan.buffer
        buffer.water_mark = max(buffer.water_mark, size)
