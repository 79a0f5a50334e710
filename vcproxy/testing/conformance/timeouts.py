"""Laws about inactivity and active timeouts. Tested in tests/conformance."""

from __future__ import annotations

from vcproxy.engine.event import Event
from vcproxy.engine.vio import VIO
from vcproxy.testing.conformance import end
from vcproxy.testing.conformance.end import End
from vcproxy.testing.conformance.law import Laws

LAWS = Laws()


@LAWS.add
def an_inactivity_timeout_is_delivered_once(a: End, b: End) -> None:
    """The VC stays usable; the timeout does not repeat until it is set again."""
    b.read()
    b.do(lambda: b.vc.set_inactivity_timeout(end.MOMENT_S))
    b.wait_for(Event.INACTIVITY_TIMEOUT)
    b.wait_a_moment()
    b.wait_a_moment()
    assert b.events == [Event.INACTIVITY_TIMEOUT]
    a.write(b"late")
    b.wait_for_data(b"late")
    b.do(lambda: b.vc.set_inactivity_timeout(end.MOMENT_S))
    b.wait_for(Event.INACTIVITY_TIMEOUT, times=2)


@LAWS.add
def bytes_delay_the_inactivity_timeout(a: End, b: End) -> None:
    """The timeout counts from the last byte that moved."""
    idle_s: list[float] = []
    moved_at = b.engine.now

    def moved(_: VIO) -> None:
        # The time is noted here, because a byte may also move between the timeout and its delivery.
        nonlocal moved_at
        moved_at = b.vc.moved_at
        b.drain()

    b.on[Event.READ_READY] = moved
    b.on[Event.INACTIVITY_TIMEOUT] = lambda _: idle_s.append(b.engine.now - moved_at)
    b.read()
    b.do(lambda: b.vc.set_inactivity_timeout(2 * end.MOMENT_S))
    for _ in range(4):
        a.write(b".")
        b.wait_a_moment()
    b.wait(lambda: bool(idle_s))
    assert idle_s[0] > 2 * end.MOMENT_S - 1e-6


@LAWS.add
def an_active_timeout_is_not_delayed_by_bytes(a: End, b: End) -> None:
    """The timeout counts from the time at which it was set."""
    b.read()
    b.do(lambda: b.vc.set_active_timeout(2 * end.MOMENT_S))
    while Event.ACTIVE_TIMEOUT not in b.events:
        a.write(b".")
        b.wait_a_moment()
    assert b.events.count(Event.ACTIVE_TIMEOUT) == 1


@LAWS.add
def timeouts_may_be_cancelled(a: End, b: End) -> None:
    """0 cancels a timeout."""

    def set_and_cancel() -> None:
        # All in one callback: between two callbacks a slow machine may take longer than the
        # timeouts.
        b.vc.set_inactivity_timeout(end.MOMENT_S)
        b.vc.set_active_timeout(end.MOMENT_S)
        b.vc.set_inactivity_timeout(0)
        b.vc.set_active_timeout(0)

    b.read()
    b.do(set_and_cancel)
    b.wait_a_moment()
    b.wait_a_moment()
    assert b.events == []


@LAWS.add
def a_read_of_nothing_gets_timeouts(a: End, b: End) -> None:
    """A read with nbytes 0 gets timeouts only; the data waits for the next read."""
    a.begin_writing(b"waiting")
    b.read(nbytes=0)
    b.do(lambda: b.vc.set_inactivity_timeout(end.MOMENT_S))
    b.wait_for(Event.INACTIVITY_TIMEOUT)
    assert b.events == [Event.INACTIVITY_TIMEOUT]
    assert b.held == 0
    b.read()
    b.wait_for_data(b"waiting")
