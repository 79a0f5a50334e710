"""Draining: what a proxy that stops still waits for, as numbers and by name.

Tested in tests/e2e/test_signals.py and tests/app/test_draining.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from vcproxy.engine.units import show_duration

if TYPE_CHECKING:
    from vcproxy.engine.engine import Engine
    from vcproxy.engine.log_function import LogFunction

LISTED = 20
"""The most names in the log: enough to see a pattern, and one line of some 2 KiB."""


def connections(engines: Iterable[Engine]) -> int:
    """Return how many connections are open."""
    return sum(len(engine.vcs) for engine in engines)


def children(engines: Iterable[Engine]) -> int:
    """Return how many child processes run, or other sources of which the end is waited for."""
    return sum(each.delays_stop for engine in engines for each in list(engine.sources.values()))


def log_what_is_left(engines: Sequence[Engine], log: LogFunction, left_s: float) -> None:
    """Log by name what a drain that lasts long waits for. `left_s`: how long it does at most."""
    from vcproxy.engine.waited_for import waited_for  # few stops last long

    now = max(engine.now for engine in engines)  # some may have had no turn for long
    found = [str(each) for engine in engines for each in waited_for(engine, stopping=True, now=now)]
    if found:
        more = [f"and {len(found) - LISTED} more"] if len(found) > LISTED else []
        names = "; ".join(found[:LISTED] + more)
        log("warning", f"still draining, {show_duration(left_s)} more at most; waits for {names}")
