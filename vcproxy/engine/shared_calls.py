"""SharedCalls: the calls of one engine, of which equal ones may share one run of the function.

A call with `shares` joins an equal one that has no result yet, and uses a kept result of an equal
one that is not older than `shares` seconds. Each caller has its own deadline. When the first
deadline of a run passes, later calls no longer join it: the function may never return.

Tested in tests/engine/test_shared_calls.py.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import partial
from typing import TYPE_CHECKING

from vcproxy.engine.calls import Called, PendingCalls, late, listener_of
from vcproxy.engine.continuation import Continuation, OwnTimer
from vcproxy.engine.event import Event
from vcproxy.engine.kept_results import KeptResults, own_copy, size_of
from vcproxy.engine.mutex import Mutex
from vcproxy.engine.scheduler import Action

if TYPE_CHECKING:
    from vcproxy.engine.engine import Engine


class SharedCalls(PendingCalls):
    """Pending calls, the runs that are shared, and the results that are kept."""

    __slots__ = ("_kept", "_runs")

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self._runs: dict[Hashable, _Run] = {}
        self._kept: KeptResults[tuple[object]] = KeptResults()

    def share(
        self,
        cont: Continuation,
        fn: Callable[..., object],
        args: tuple[object, ...],
        timeout: float,
        kept_s: float,
    ) -> None:
        """Begin or join a call. See Engine.call. Raises TypeError for what is never equal."""
        key = _key(fn, args, cont)
        engine = self._engine
        kept = self._kept.get(key, engine.now)
        if kept is not None:
            answer = Action(cont, Called, fn, engine.now, 0.0)
            engine.queue.append((answer, Called, Called(own_copy(kept[0]))))
            return
        run = self._runs.get(key)
        if run is None:
            run = self._runs[key] = _Run(engine, self, key, kept_s)
            self.start(run, fn, args, 0.0, listener_of(cont))
            run.number = self.last
        run.join(cont, fn, timeout)

    def no_longer_joined(self, run: _Run) -> None:
        """Let later calls begin another run."""
        if self._runs.get(run.key) is run:
            del self._runs[run.key]

    def keep(self, run: _Run, value: object) -> None:
        """Keep the result of a run."""
        if run.kept_s:
            self._kept.put(run.key, (value,), size_of(value), self._engine.now + run.kept_s)


class _Run(Continuation):
    """One run of a function, and the callers that wait for its result."""

    __slots__ = ("_calls", "_waiting", "kept_s", "key", "number")

    def __init__(self, engine: Engine, calls: SharedCalls, key: Hashable, kept_s: float) -> None:
        super().__init__(engine, Mutex())
        self._calls = calls
        self.key = key
        self.kept_s = kept_s
        self.number = 0
        """The number of its call."""
        self._waiting: dict[Action, Action | None] = {}  # the answer of a caller: its deadline

    def join(self, cont: Continuation, fn: Callable[..., object], timeout: float) -> None:
        """Add a caller."""
        answer = Action(cont, Called, fn, self.engine.now, 0.0)
        expiry = None
        if timeout:
            expire = OwnTimer(self.engine, partial(self._expire, answer, timeout))
            expiry = self.engine.schedule_in(timeout, expire, Event.TIMEOUT, None)
        self._waiting[answer] = expiry

    def handle_event(self, key: Hashable, data: object) -> None:
        """Pass on the result, a copy to each caller. One that is an error is not kept."""
        assert isinstance(data, Called)
        self._calls.no_longer_joined(self)
        waiting, self._waiting = self._waiting, {}
        for answer, result in zip(waiting, self._results(data, len(waiting)), strict=True):
            expiry = waiting[answer]
            if expiry is not None:
                expiry.cancel()
            self.engine.queue.append((answer, Called, result))

    def _results(self, result: Called, count: int) -> list[Called]:
        """Return a result for each caller, and keep one."""
        if result.error is not None:
            return [result] * count
        try:
            copies = [Called(own_copy(result.value)) for _ in range(count)]
            self._calls.keep(self, result.value)
        except Exception as mistake:  # no plain data: a lock, a file, a cycle
            error = TypeError(f"its result cannot be shared: {mistake}")
            return [Called(None, error)] * count
        return copies

    def _expire(self, answer: Action, timeout: float) -> None:
        del self._waiting[answer]
        self._calls.no_longer_joined(self)
        self.engine.queue.append((answer, Called, late(timeout)))
        if not self._waiting:
            self._calls.cancel(self.number)


def _key(fn: Callable[..., object], args: tuple[object, ...], cont: Continuation) -> Hashable:
    """Return what equal calls have in common. Raises TypeError."""
    name = getattr(fn, "__qualname__", repr(fn))
    if isinstance(fn, partial) or "<locals>" in name or getattr(fn, "__self__", None) is cont:
        raise TypeError(
            f"{name}: a call with `shares` needs a function of a module or of another object, and "
            "its arguments: one that is made for each call, or belongs to it, is equal to no other"
        )
    key = fn, args, tuple(map(type, args))  # 1, 1.0 and True are equal, but not the same
    try:
        hash(key)
    except TypeError as error:
        raise TypeError(f"{name}: the arguments of a call with `shares`: {error}") from None
    return key
