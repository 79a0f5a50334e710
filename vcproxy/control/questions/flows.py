"""The question `flows`: what clients are connected to, counted: the picture of the dashboard.

Tested in tests/control/questions/test_flows.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from vcproxy.control.questions.conns import partner_of
from vcproxy.control.questions.question import Column, Merged, Question
from vcproxy.machine.machine import Machine
from vcproxy.upstream.upstream import Upstream

if TYPE_CHECKING:
    from vcproxy.control.questions.answer import Row
    from vcproxy.control.questions.question import Asked
    from vcproxy.engine.net import NetVConnection

Key = tuple[str, str, str, str, str]
"""Listener, upstream, server, state and tunnel."""


@dataclass(slots=True)
class _Count:
    connections: int = 0
    bridged: int = 0


def _rows(asked: Asked) -> Iterator[Row | None]:
    counts: dict[Key, _Count] = {key: _Count() for key in _configured(asked)}
    engine = asked.engine
    for vc in list(engine.vcs):
        yield None
        if vc.listener is not None and not vc.closed and vc.engine is engine:
            count = counts.setdefault(_key(vc), _Count())
            count.connections += 1
            reading: Any = vc.read_vio
            count.bridged += reading is not None and reading.bridge is not None
    for (listener, upstream, server, state, tunnel), count in counts.items():
        yield {
            "listener": listener,
            "upstream": upstream,
            "server": server,
            "state": state,
            "tunnel": tunnel,
            "connections": count.connections,
            "bridged": count.bridged,
        }


def _configured(asked: Asked) -> Iterator[Key]:
    """Yield the upstreams that each listener may use, also while it has no connection."""
    configuration = asked.running.configuration
    for entry in configuration.settings.listener:
        options = configuration.plugins[entry.name].upstreams.values()
        for upstream in dict.fromkeys((entry.upstream, *options)):
            if upstream is not None:
                yield entry.name, upstream, "", "", ""


def _key(vc: NetVConnection) -> Key:
    assert vc.listener is not None
    session: Any = vc.session
    reading: Any = vc.read_vio
    receiver = None if reading is None else reading.cont
    machine = session if isinstance(session, Machine) else receiver
    state = machine.state.name if isinstance(machine, Machine) else ""
    tunnel = "" if receiver is session or receiver is None else type(receiver).__name__
    connection = partner_of(vc)
    outgoing: Any = None if connection is None else connection.outgoing
    if connection is not None and isinstance(outgoing.observer, Upstream):
        observer = outgoing.observer
        server = observer.server_of(connection)
        return vc.listener.name, observer.name, "" if server is None else server.name, state, tunnel
    service = getattr(session, "service", None)
    upstream = None if service is None else service.upstream
    return vc.listener.name, "" if upstream is None else upstream.name, "", state, tunnel


FLOWS: Final = Question(
    "flows",
    "How many clients of which listener are connected to which server, and in which state.",
    (
        Column("listener", "The listener that has accepted them."),
        Column("upstream", "The upstream of the server; without one, that of the listener."),
        Column("server", 'The server of the upstream; "": none at present.'),
        Column("state", "The state of the machines that serve them."),
        Column("tunnel", "The tunnel or other object that reads them at present."),
        Column("connections", "How many connections of clients.", merged=Merged.SUM),
        Column("bridged", "Of these: the kernel moves what they send.", merged=Merged.SUM),
    ),
    _rows,
    key=("listener", "upstream", "server", "state", "tunnel"),
)
"""The question."""
