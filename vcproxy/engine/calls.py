"""Calls: functions that run off the loop, on another thread, and the event with the result.

Tested in tests/engine/test_engine.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from vcproxy.engine.commands import Call, CancelCall
from vcproxy.engine.continuation import OwnTimer
from vcproxy.engine.event import Event
from vcproxy.engine.net import NetVConnection
from vcproxy.engine.scheduler import Action
from vcproxy.engine.units import show_duration

if TYPE_CHECKING:
    from vcproxy.engine.continuation import Continuation
    from vcproxy.engine.engine import Engine


@dataclass(frozen=True, slots=True)
class Called:
    """The event that answers `engine.call`: the value, or what `fn` raised."""

    value: object
    error: Exception | None = None


class PendingCalls:
    """The calls of one engine that have no result yet."""

    __slots__ = ("_engine", "_pending", "last")

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.last = 0
        """The number of the last call."""
        self._pending: dict[int, tuple[Action, Action | None]] = {}  # by number: result, deadline

    def __len__(self) -> int:
        return len(self._pending)

    def waiting(self) -> list[tuple[str, float]]:
        """Return the name of each call's function, and when the call was made."""
        answers = [answer for answer, _ in list(self._pending.values())]
        return [(getattr(each.data, "__qualname__", ""), each.when) for each in answers]

    def start(
        self,
        cont: Continuation,
        fn: Callable[..., object],
        args: tuple[object, ...],
        timeout: float,
        listener: str,
    ) -> None:
        """Begin a call. See Engine.call. `listener`: the name of that whose calls may delay it."""
        self.last += 1
        number = self.last
        expiry = None
        if timeout:
            expire = OwnTimer(self._engine, partial(self._expire, number, timeout))
            expiry = self._engine.schedule_in(timeout, expire, Event.TIMEOUT, None)
        self._pending[number] = (Action(cont, Called, fn, self._engine.now, 0.0), expiry)
        self._engine.command(Call(number, fn, args, listener))

    def finish(self, number: int, result: Called) -> None:
        """Deliver a result, unless the call was cancelled at its deadline."""
        answer, expiry = self._pending.pop(number, (None, None))
        if answer is None:
            return
        if expiry is not None:
            expiry.cancel()
        self._engine.queue.append((answer, Called, result))

    def _expire(self, number: int, timeout: float) -> None:
        answer, _ = self._pending.pop(number)
        self._engine.queue.append((answer, Called, late(timeout)))
        self._engine.command(CancelCall(number))

    def cancel(self, number: int) -> None:
        """Forget a call without a deadline: its result is dropped."""
        if self._pending.pop(number, None) is not None:
            self._engine.command(CancelCall(number))


def late(timeout: float) -> Called:
    """Return the result of a call that has none in time."""
    return Called(None, TimeoutError(f"timed out: no answer in {show_duration(timeout)}"))


def listener_of(cont: Continuation) -> str:
    """Return the name of the listener of a conversation's client; "" if it has none."""
    for vc in cont.mutex.vcs:
        if isinstance(vc, NetVConnection) and vc.listener is not None:
            return vc.listener.name
    return ""
