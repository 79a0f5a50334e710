"""Callers: whatever a function raises is its answer, and no thread is used up by it."""

from __future__ import annotations

from asyncio import CancelledError
from queue import SimpleQueue

import pytest

from vcproxy.drivers.epoll.calls import THREADS, Callers


@pytest.mark.parametrize("kind", [ValueError, SystemExit, CancelledError, KeyboardInterrupt])
def test_what_a_call_raises_uses_no_thread_up(kind: type[BaseException]) -> None:
    answers: SimpleQueue[tuple[object, Exception | None]] = SimpleQueue()

    def answer(value: object, error: Exception | None) -> None:
        answers.put((value, error))

    def leave() -> None:
        raise kind("goodbye")

    callers = Callers()
    for _ in range(THREADS + 1):
        callers.run(leave, (), answer)
        value, error = answers.get(timeout=10)
        assert value is None
        assert isinstance(error, Exception)
    callers.run(len, ("three",), answer)
    assert answers.get(timeout=10) == (5, None)
