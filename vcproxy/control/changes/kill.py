"""The change KILL: ends one connection.

Its session gets ERROR, as if the connection had broken, and so ends its other connections too. If
the session of a client does not close it within KILL_S, for example because it reads nothing while
it connects, the session is ended. Tested in tests/control/changes/test_changes.py and
tests/sim/test_questions.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from vcproxy.control.changes.change import Change
from vcproxy.engine.continuation import OwnTimer
from vcproxy.engine.event import Event
from vcproxy.engine.failures import Killed
from vcproxy.machine.machine import Machine

if TYPE_CHECKING:
    from vcproxy.engine.engine import Engine
    from vcproxy.engine.net import NetVConnection
    from vcproxy.listeners.listeners import Listeners

KILL_S: Final = 1.0
"""How long a session may take to close a connection that has failed: it takes a turn, unless its
plugin waits for something."""


def connections_named(engine: Engine, name: str) -> list[NetVConnection]:
    """Return the open connections of an engine with an id, or else with a name in log lines."""
    place, _, number = name.rpartition("-")
    if place == engine.place and number.isascii() and number.isdigit() and len(number) < 20:
        wanted = int(number)
        return [vc for vc in list(engine.vcs) if vc.number == wanted]
    return [vc for vc in list(engine.vcs) if vc.name == name]


def _apply(engine: Engine, listeners: Listeners, given: Mapping[str, str]) -> Sequence[str]:
    name = given.get("conn", "")
    if not name:
        raise ValueError("name a connection by its id: conn=0-17")
    found = connections_named(engine, name)
    if len(found) > 1:
        ids = ", ".join(vc.id for vc in found[:20])
        raise ValueError(f"{len(found)} connections are named `{name}`: name one by its id: {ids}")
    for vc in found:
        error = Killed("ended by an operator")
        engine.log("info", f"{vc.name}: ended by an operator (KILL {vc.id})")
        vc.fail(error)
        listener = vc.listener  # a program has other clients too, and they have no sessions
        if listener is not None and (vc.session is not None or not listener.pinned):
            timer = OwnTimer(engine, partial(_end_session, vc, error))
            engine.schedule_in(KILL_S, timer, Event.TIMEOUT, None)
    return [f"{vc.id}: {vc.name}" for vc in found]


def _end_session(vc: NetVConnection, error: Exception) -> None:
    """End the session of a client, which has not closed its connection."""
    mutex, engine = vc.mutex, vc.engine
    if not mutex.try_acquire(engine):
        mutex.park(engine, partial(_end_session, vc, error))
        return
    try:
        if not vc.closed:
            session = vc.session
            vc.do_io_close(error)
            if isinstance(session, Machine):
                session.abandon()
            engine.end_conversation(mutex, error)
    finally:
        mutex.release(engine)


KILL: Final = Change("KILL", _apply, "there is no such connection")
"""The change."""
