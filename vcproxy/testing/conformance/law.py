"""Law: one rule for VConnections, checked with a connected Pair. Tested in tests/conformance."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from vcproxy.engine.vconnection import VConnection
from vcproxy.testing.conformance.end import End, Run

Check: TypeAlias = Callable[[End, End], None]
"""Checks a law with the two ends of a connection. Raises AssertionError."""


class Trait(enum.Enum):
    """A feature that a kind of VC may lack."""

    RESET = enum.auto()
    """The peer can distinguish a reset from an orderly end."""
    HALF_CLOSE = enum.auto()
    """One direction may end while the other continues."""
    END = enum.auto()
    """The peer gets the end of a connection: a serial line has none."""
    BOTH_WAYS = enum.auto()
    """Both ends may write. Where they may not, the first end writes: a pipe."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two connected VCs, on one engine or on two, and a function that drives them."""

    a: VConnection
    b: VConnection
    run: Run


@dataclass(frozen=True, slots=True)
class Law:
    """A rule that every VC must follow; called with a new pair."""

    check: Check
    needs: tuple[Trait, ...]

    def __str__(self) -> str:
        return self.check.__name__

    def __call__(self, pair: Pair) -> None:
        """Check the law. Raises AssertionError."""
        a, b = End(pair.a, pair.run), End(pair.b, pair.run)
        self.check(a, b)
        for end in (a, b):
            if not end.closed:
                end.close()
        a.wait_a_moment()
        b.wait(lambda: True)
        for end in (a, b):
            end.release_buffers()


class Laws(list[Law]):
    """The laws of a module, in order. `add` and `needing` are decorators for their checks."""

    def add(self, check: Check) -> None:
        """Add a law for all kinds of VC."""
        self.append(Law(check, ()))

    def needing(self, *traits: Trait) -> Callable[[Check], None]:
        """Add a law for kinds of VC with some traits."""
        return lambda check: self.append(Law(check, traits))
