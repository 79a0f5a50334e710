"""The question `sinks`: each sink of the relays and other tunnels with several sinks.

Tested in tests/control/questions/test_rows.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from vcproxy.control.questions.question import Column, Question
from vcproxy.control.questions.walk import machines
from vcproxy.relay.relay import Relay
from vcproxy.tunnels.one_way_multi import OneWayMultiTunnel

if TYPE_CHECKING:
    from vcproxy.control.questions.answer import Row
    from vcproxy.control.questions.question import Asked
    from vcproxy.relay.status import SinkStatus


def _rows(asked: Asked) -> Iterator[Row | None]:
    relays: list[OneWayMultiTunnel] = []
    programs = asked.running.listeners.programs.running if asked.first else {}
    for name, program in list(programs.items()):
        if isinstance(program, Relay):
            relays.append(program.tunnel)
            for status in program.sinks():
                yield _row(name, status)
    for machine in machines(asked):
        if not isinstance(machine, OneWayMultiTunnel) or machine in relays:
            yield None
            continue
        for vc in machine.sinks:
            found = machine.statistics_of(vc)
            if found is not None:
                yield {
                    "tunnel": machine.name,
                    "sink": found.sink.name,
                    "state": "lags" if found.lags else "up",
                    "lag": found.lag,
                    "max_lag": found.policy.max_lag,
                    "on_lag": found.policy.on_lag,
                    "sent": found.sent,
                    "dropped_messages": found.dropped.messages,
                    "dropped_bytes": found.dropped.bytes,
                    "received": found.received,
                    "reconnects": 0,
                    "required": found.required,
                }


def _row(relay: str, status: SinkStatus) -> Row:
    state = "down" if not status.up else "lags" if status.lags else "up"
    return {
        "tunnel": relay,
        "sink": status.name,
        "state": state,
        "lag": status.lag,
        "max_lag": status.policy.max_lag,
        "on_lag": status.policy.on_lag,
        "sent": status.sent,
        "dropped_messages": status.dropped.messages,
        "dropped_bytes": status.dropped.bytes,
        "received": status.received,
        "reconnects": status.reconnects,
        "required": status.required,
    }


SINKS: Final = Question(
    "sinks",
    "Each sink of relays and of tunnels to several sinks: how far it is behind.",
    (
        Column("tunnel", "The listener of the relay, or the name of the tunnel."),
        Column("sink", "The peer; of a target of a relay, its address."),
        Column("state", '"up", "lags" (its policy applies), or "down" (a target).'),
        Column("lag", "What waits for it in the buffer.", "bytes"),
        Column("max_lag", "What may wait before the policy applies.", "bytes"),
        Column("on_lag", "The policy."),
        Column("sent", "What it has taken; of a target, over all its connections.", "bytes"),
        Column("dropped_messages", "Messages that were dropped for it."),
        Column("dropped_bytes", "Their bytes.", "bytes"),
        Column("received", "What it has sent, and was ignored.", "bytes"),
        Column("reconnects", "How often a target was connected again."),
        Column("required", "Whether the tunnel waits for it."),
    ),
    _rows,
)
"""The question."""
