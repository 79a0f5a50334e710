"""The laws on an in-process pipe."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random

import pytest

from vcproxy.engine.engine import Engine
from vcproxy.engine.pipe import pipe
from vcproxy.testing.conformance import Law, Pair, laws

TURNS = 20_000
"""Far more than any law takes."""


@contextmanager
def piped() -> Iterator[Pair]:
    """A pipe on an engine of its own, in virtual time: idle turns jump to the next timer."""
    lines: list[str] = []
    engine = Engine(
        "pipes",
        memory=1 << 30,
        random=Random(0),
        log=lambda level, text, error=None: lines.append(text),
    )
    now = 0.0

    def run(until: Callable[[], bool]) -> None:
        nonlocal now
        for _ in range(TURNS):
            engine.clock(now)
            engine.run()
            if until():
                return
            if not engine.busy:
                now = engine.next_deadline() or now
        raise AssertionError(f"the condition never held; the engine logged {lines}")

    a, b = pipe(engine)
    yield Pair(a, b, run)
    assert engine.memory.used == 0


@pytest.mark.parametrize("law", laws(), ids=str)
def test_pipe(law: Law) -> None:
    with piped() as pair:
        law(pair)
