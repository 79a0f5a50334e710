"""Laws about do_io_*() and reenable(): when they are allowed. Tested in tests/conformance."""

from __future__ import annotations

from collections.abc import Callable

from vcproxy.engine.event import Event
from vcproxy.engine.iobuffer import IOBuffer
from vcproxy.engine.mutex import LockNotHeld
from vcproxy.engine.vconnection import ClosedError, Shutdown
from vcproxy.testing.conformance.end import End
from vcproxy.testing.conformance.law import Laws

LAWS = Laws()


@LAWS.add
def reenable_is_always_harmless(a: End, b: End) -> None:
    """`reenable` may be called at any time, from anywhere; without progress there is no event."""
    b.read()
    a.begin_writing(b"")
    a.wait_for(Event.WRITE_READY)
    for _ in range(20):
        a.write_vio.reenable()
        b.read_vio.reenable()
    a.wait_a_moment()
    b.wait_a_moment()
    assert a.events == [Event.WRITE_READY]
    assert b.events == []
    reading, writing = b.read_vio, a.write_vio
    a.close()
    b.close()
    reading.reenable()
    writing.reenable()
    a.wait_a_moment()
    b.wait_a_moment()


@LAWS.add
def after_the_close_only_closing_is_allowed(a: End, b: End) -> None:
    """Any other verb raises ClosedError after the close."""
    a.close()
    a.do(lambda: a.vc.do_io_close())
    verbs: list[Callable[[], object]] = [
        lambda: a.vc.do_io_read(a, None, IOBuffer(a.engine.memory)),
        lambda: a.vc.do_io_write(a, None, a.outgoing),
        lambda: a.vc.do_io_shutdown(Shutdown.BOTH),
        lambda: a.vc.set_inactivity_timeout(1),
        lambda: a.vc.set_active_timeout(1),
    ]
    for verb in verbs:
        a.do(lambda verb=verb: _raises(ClosedError, verb))  # type: ignore[misc]


@LAWS.add
def verbs_need_the_mutex(a: End, b: End) -> None:
    """From a callback of another conversation, only reenable() is allowed."""
    verbs: list[Callable[[], object]] = [
        lambda: a.vc.do_io_read(b, None, IOBuffer(a.engine.memory)),
        lambda: a.vc.do_io_write(b, None, b.outgoing),
        lambda: a.vc.do_io_shutdown(Shutdown.BOTH),
        lambda: a.vc.do_io_close(),
        lambda: a.vc.set_inactivity_timeout(1),
        lambda: a.vc.set_active_timeout(1),
    ]
    for verb in verbs:
        b.do(lambda verb=verb: _raises(LockNotHeld, verb))  # type: ignore[misc]


def _raises(error: type[Exception], verb: Callable[[], object]) -> None:
    try:
        verb()
    except error:
        return
    raise AssertionError(f"no {error.__name__}")
