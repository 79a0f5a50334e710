"""make: makes a change in all net threads of the process that it runs in.

Tested in tests/control/changes/test_changes.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Final

from vcproxy.control.changes.change import Changed, Outcome, applied
from vcproxy.control.changes.table import CHANGES
from vcproxy.control.gathering import Gathering
from vcproxy.engine.units import show_duration

if TYPE_CHECKING:
    from vcproxy.control.changes.change import Change
    from vcproxy.control.questions.running import Running
    from vcproxy.engine.engine import Engine

CHANGE_S: Final = 2.0
"""How long a net thread may take to begin with a change. One that is late makes it all the same."""


def make(
    name: str,
    arguments: Mapping[str, str],
    running: Running,
    then: Callable[[Changed], None],
    *,
    feed: Callable[[Callable[[], None]], None],
    after: Callable[[float, Callable[[], None]], None],
) -> None:
    """Make one of CHANGES; `then` gets the result in the thread of `feed`. See Gathering."""
    change = CHANGES[name]
    engines = running.engines[:1] if change.first_only else running.engines

    def made(answers: Mapping[str, Outcome | None]) -> None:
        changed = Changed()
        for thread, outcome in answers.items():
            if outcome is None:
                late = f"{thread}: no answer within {show_duration(CHANGE_S)}: it is busy"
                changed.add((), (), [late])
            else:
                changed.add(*outcome)
        if not (changed.lines or changed.refused or changed.missing):
            changed.add((), [change.nothing])
        then(changed)

    gathering = Gathering[Outcome](
        [each.name for each in engines], made, feed=feed, after=after, limit_s=CHANGE_S
    )
    for engine in engines:
        engine.inbox.feed(partial(_in_thread, change, engine, running, arguments, gathering))


def _in_thread(
    change: Change,
    engine: Engine,
    running: Running,
    arguments: Mapping[str, str],
    gathering: Gathering[Outcome],
) -> None:
    running.record_change(change.name, arguments)
    gathering.answer(engine.name, applied(change, engine, running.listeners, arguments))
