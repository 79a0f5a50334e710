"""The question `conns`: each open connection, with what it does.

Tested in tests/control/questions/test_rows.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from vcproxy.control.questions.question import Column, Question
from vcproxy.engine.net import NetVConnection
from vcproxy.machine.machine import Machine

if TYPE_CHECKING:
    from vcproxy.control.questions.answer import Row
    from vcproxy.control.questions.question import Asked

PARTNERS: Final = 4
"""Connections of one conversation that are looked at to find the server: a program has all its
clients in one."""


def _rows(asked: Asked) -> Iterator[Row | None]:
    engine = asked.engine
    for vc in list(engine.vcs):
        yield _row(vc) if vc in engine.vcs else None


def _row(vc: NetVConnection) -> Row:
    engine, partner = vc.engine, partner_of(vc)
    client, server = (vc, partner) if vc.listener is not None else (partner, vc)
    session = None if client is None else client.session
    reading: Any = vc.read_vio
    receiver = None if reading is None else reading.cont
    machine = session if isinstance(session, Machine) else receiver
    lent = receiver is not session and receiver is not None
    through = "" if client is None or client.proxied is None else client.real_peer_address
    return {
        "id": vc.id,
        "name": vc.name,
        "kind": "server" if vc.listener is None else "client",
        "partner": "" if partner is None else partner.id,
        "listener": "" if client is None or client.listener is None else client.listener.name,
        "client": "" if client is None else client.peer,
        "proxied_by": through,
        "server": "" if server is None else server.name,
        "upstream": _upstream(session, server),
        "route": _route(session),
        "plugin": "" if session is None else type(session).__name__,
        "state": machine.state.name if isinstance(machine, Machine) else _state(vc),
        "age": round(engine.now - vc.opened_at, 3),
        "idle": round(engine.now - vc.last_moved_at(), 3),
        "bytes_in": vc.bytes_read,
        "bytes_out": vc.bytes_written,
        "tunnel": type(receiver).__name__ if lent else "",
        "bridged": reading is not None and reading.bridge is not None,
        "tls": vc.tls_size > 0,
        "sni": vc.sni or "",
        "alpn": vc.alpn or "",
    }


def partner_of(vc: NetVConnection) -> NetVConnection | None:
    """Return the connection at the other side of a conversation of two."""
    accepted = vc.listener is not None
    if vc.listener is not None and vc.listener.pinned:
        return None
    for each in islice(list(vc.mutex.vcs), PARTNERS):
        if isinstance(each, NetVConnection) and (each.listener is None) is accepted:
            return each
    return None


def _upstream(session: Any, server: NetVConnection | None) -> str:
    """Return the upstream that the server belongs to, or else that of the listener."""
    observer: Any = None if server is None or server.outgoing is None else server.outgoing.observer
    service = getattr(session, "service", None)
    upstream = observer if observer is not None else getattr(service, "upstream", None)
    return getattr(upstream, "name", "")


def _route(session: Any) -> str:
    """Return the route of the request that is being served, or of a client of TLS."""
    label = getattr(session, "route_label", None)
    if label is not None:
        return str(label)
    tx = getattr(getattr(session, "exchange", None), "tx", None)
    route = getattr(tx, "route", None)
    return "" if route is None else f"{route.host or '*'}{route.path}"


def _state(vc: NetVConnection) -> str:
    """Return the state of a connection that no machine has."""
    if vc.closed:
        return "closing"
    if vc.error is not None:
        return "failed"
    return "" if vc.open else "connecting"


CONNS: Final = Question(
    "conns",
    "Each open connection: who is connected to what, and what it does.",
    (
        Column("id", "Its id, which `kill` and `trace` take."),
        Column("name", "Its name in log lines."),
        Column("kind", '"client", or "server" for one that the proxy has opened.'),
        Column("partner", "The id of the connection at the other side, if there is one."),
        Column("listener", "The listener that has accepted the client."),
        Column("client", "The address of the client."),
        Column("proxied_by", "The load balancer whose PROXY header has named the client."),
        Column("server", "The name of the connection to the server."),
        Column("upstream", "The upstream of the server, or of the listener."),
        Column("route", "The host and path of the route of the request that is being served."),
        Column("plugin", "The class of the session that serves the client."),
        Column("state", "The state of that machine, or of the connection."),
        Column("age", "How long it is open.", "s"),
        Column("idle", "How long no byte has moved.", "s"),
        Column("bytes_in", "Read from the peer.", "bytes"),
        Column("bytes_out", "Written to the peer.", "bytes"),
        Column("tunnel", "The tunnel or other object that reads it at present."),
        Column("bridged", "Whether the kernel moves what it reads, with splice."),
        Column("tls", "Whether it has TLS."),
        Column("sni", "The name that the client has asked for in TLS."),
        Column("alpn", "The application protocol that was agreed on in TLS."),
    ),
    _rows,
)
"""The question."""
