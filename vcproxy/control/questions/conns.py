"""The question `conns`: each open connection, with what it does.

Tested in tests/e2e/test_questions.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from vcproxy.control.questions.question import Column, Question
from vcproxy.machine.machine import Machine

if TYPE_CHECKING:
    from vcproxy.control.questions.answer import Row
    from vcproxy.control.questions.question import Asked
    from vcproxy.engine.net import NetVConnection

PARTNERS: Final = 4
"""Connections of one conversation that are looked at to find the server: a program has all its
clients in one."""


def _rows(asked: Asked) -> Iterator[Row | None]:
    engine = asked.engine
    for vc in list(engine.vcs):
        yield None if vc.closed or vc.engine is not engine else _row(vc)


def _row(vc: NetVConnection) -> Row:
    engine, session, listener = vc.engine, vc.session, vc.listener
    server = server_of(vc)
    reading: Any = vc.read_vio
    receiver = None if reading is None else reading.cont
    service = getattr(session, "service", None)
    upstream = None if service is None else service.upstream
    state = session if isinstance(session, Machine) else receiver
    tunnel = type(receiver).__name__ if receiver is not session and receiver is not None else ""
    return {
        "id": vc.id,
        "kind": "server" if listener is None else "client",
        "listener": "" if listener is None else listener.name,
        "client": vc.peer,
        "server": "" if server is None else server.name,
        "upstream": "" if upstream is None else upstream.name,
        "plugin": "" if session is None else type(session).__name__,
        "state": state.state.name if isinstance(state, Machine) else "",
        "age": round(engine.now - vc.opened_at, 3),
        "idle": round(engine.now - vc.moved_at, 3),
        "bytes_in": vc.bytes_read,
        "bytes_out": vc.bytes_written,
        "tunnel": tunnel,
        "bridged": reading is not None and reading.bridge is not None,
        "tls": vc.tls_size > 0,
    }


def server_of(vc: NetVConnection) -> NetVConnection | None:
    """Return the server connection of a client's conversation, if it has one."""
    if vc.listener is None:
        return vc
    if vc.listener.pinned:
        return None
    for each in islice(list(vc.mutex.vcs), PARTNERS):
        if each is not vc and getattr(each, "outgoing", None) is not None:
            return each  # type: ignore[return-value]
    return None


CONNS: Final = Question(
    "conns",
    "Each open connection: who is connected to what, and what it does.",
    (
        Column("id", "Its id, which `kill` and `trace` take."),
        Column("kind", '"client", or "server" for one that the proxy has opened.'),
        Column("listener", "The listener that has accepted it."),
        Column("client", "The address of the client."),
        Column("server", "The server that it is connected to."),
        Column("upstream", "The upstream of its listener."),
        Column("plugin", "The class that serves it."),
        Column("state", "The state of that machine."),
        Column("age", "How long it is open.", "s"),
        Column("idle", "How long no byte has moved.", "s"),
        Column("bytes_in", "Read from the peer.", "bytes"),
        Column("bytes_out", "Written to the peer.", "bytes"),
        Column("tunnel", "The tunnel or other object that reads it at present."),
        Column("bridged", "Whether the kernel moves what it reads, with splice."),
        Column("tls", "Whether it has TLS."),
    ),
    _rows,
)
"""The question."""
