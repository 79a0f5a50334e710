"""The question `listeners`: what is listened at, and how much comes in there.

Tested in tests/control/questions/test_rows.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from vcproxy.admission.refusal import Refusal
from vcproxy.control.questions.question import Column, Merged, Question
from vcproxy.engine.listener import ListenerCounts

if TYPE_CHECKING:
    from vcproxy.control.questions.answer import Row
    from vcproxy.control.questions.question import Asked
    from vcproxy.listeners.plan import PlannedListener

_NONE: Final = ListenerCounts()


def _rows(asked: Asked) -> Iterator[Row | None]:
    engine, listeners = asked.engine, asked.running.listeners
    named = listeners.named
    counts = {name: each.counts.get(engine, _NONE) for name, each in named.items()}
    bytes_in = {name: each.bytes_read for name, each in counts.items()}
    bytes_out = {name: each.bytes_written for name, each in counts.items()}
    opened = dict.fromkeys(named, 0)
    for vc in list(engine.vcs):
        yield None
        if vc.listener is not None and vc.listener.name in opened:
            name = vc.listener.name
            opened[name] += vc in engine.vcs
            # Of one that has closed meanwhile too: else the sum would fall.
            bytes_in[name] += vc.bytes_read
            bytes_out[name] += vc.bytes_written
    bound: dict[str, list[str]] = {}
    for each in listeners.bound:
        bound.setdefault(each.listener.name, []).append(each.real.text)
    plans = () if listeners.planned is None else listeners.planned.listeners
    planned = {name: each for each in plans for name in each.names}
    for name, listener in named.items():
        plan = planned.get(name)
        yield {
            "listener": name,
            "addresses": bound.get(name, []),
            "plugin": "" if plan is None else plan.entry.plugin,
            "state": _state(asked, name in bound, plan),
            "open": opened[name],
            "accepted": listener.accepted if asked.first else 0,
            "refused": counts[name].refused,
            "failed": counts[name].failed,
            "accept_failures": counts[name].accept_failures,
            "over_max_per_client": counts[name].refusals.get(Refusal.MAX_PER_CLIENT, 0),
            "denied": counts[name].refusals.get(Refusal.DENIED, 0),
            "over_rate": counts[name].refusals.get(Refusal.RATE, 0),
            "bytes_in": bytes_in[name],
            "bytes_out": bytes_out[name],
            "max_connections": 0 if plan is None else plan.entry.limits.max_connections or 0,
            "max_per_client": listener.max_per_client,
            "tls": listener.tls is not None,
        }


def _state(asked: Asked, bound: bool, plan: PlannedListener | None) -> str:
    if asked.running.ending:
        return "draining"
    if plan is None:
        return "removed"
    return "drained" if plan.entry.bind and not bound else "open"


LISTENERS: Final = Question(
    "listeners",
    "Each listener: its addresses, and how much comes in there.",
    (
        Column("listener", "Its name."),
        Column("addresses", "Where it listens."),
        Column("plugin", "The plugin that serves it."),
        Column(
            "state", '"open"; "drained": it accepts no more; "draining"; "removed" by a reload.'
        ),
        Column("open", "Open connections, or sessions of datagrams.", merged=Merged.SUM),
        Column("accepted", "Connections accepted since the start.", merged=Merged.SUM),
        Column("refused", "Of these: closed instead of served.", merged=Merged.SUM),
        Column("failed", "Of these: failed TLS handshakes or PROXY headers.", merged=Merged.SUM),
        Column("accept_failures", "Accepts that failed so far.", merged=Merged.SUM),
        Column(
            "over_max_per_client", "Connections refused for `max_per_client`.", merged=Merged.SUM
        ),
        Column(
            "denied",
            "Connections, requests and datagrams refused for `allow` or `deny`.",
            merged=Merged.SUM,
        ),
        Column("over_rate", "Those refused for `rate`.", merged=Merged.SUM),
        Column("bytes_in", "Read from its clients since the start.", "bytes", Merged.SUM),
        Column("bytes_out", "Written to its clients since the start.", "bytes", Merged.SUM),
        Column("max_connections", "The most open connections; 0: no limit."),
        Column("max_per_client", "The most of one address; 0: no limit."),
        Column("tls", "Whether clients at its tls:// addresses need TLS."),
    ),
    _rows,
    key=("listener",),
)
"""The question."""
