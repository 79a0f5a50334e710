"""machines: the machines of a net thread that a connection, a source, a timer or a program has.

There is no list of all machines: making and ending each of them would cost more. Tested in
tests/control/questions/test_rows.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from vcproxy.machine.machine import Machine

if TYPE_CHECKING:
    from vcproxy.control.questions.question import Asked
    from vcproxy.engine.net import NetVConnection


def machines(asked: Asked) -> Iterator[Machine | None]:
    """Yield each machine once, and None for each thing that was looked at."""
    engine = asked.engine
    seen: dict[int, Machine] = {}  # it keeps them, so that no other object gets the id of one
    programs = asked.running.listeners.programs.running if asked.first else {}
    yield from _new(list(programs.values()), seen)
    for vc in list(engine.vcs):
        yield from _new(_of_connection(vc), seen)
        yield None
    for source in list(engine.sources.values()):
        yield from _new((source.cont,), seen)
        yield None
    for _, _, timer in list(engine.timers):
        yield from _new((getattr(timer, "cont", None),), seen)
        yield None


def _of_connection(vc: NetVConnection) -> Iterator[Any]:
    yield vc.session
    yield getattr(vc.session, "exchange", None)
    for vio in (vc.read_vio, vc.write_vio):
        if vio is not None:
            yield vio.cont


def _new(found: Any, seen: dict[int, Machine]) -> Iterator[Machine]:
    for each in found:
        if isinstance(each, Machine) and id(each) not in seen:
            seen[id(each)] = each
            yield each
