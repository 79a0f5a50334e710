"""Change: one change that can be made in a running proxy, and its result.

Tested in tests/control/changes/test_changes.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from vcproxy.engine.engine import Engine
    from vcproxy.listeners.listeners import Listeners

Apply: TypeAlias = "Callable[[Engine, Listeners, Mapping[str, str]], Sequence[str]]"
"""Makes a change on the net thread of an engine; returns a line for each thing that was changed, in
order; none: there was nothing to change on this net thread. Raises ValueError or LookupError if the
arguments are wrong, before anything was changed."""

Outcome: TypeAlias = tuple[Sequence[str], Sequence[str]]
"""What was changed on one net thread, and why something was refused there."""


@dataclass(frozen=True, slots=True)
class Change:
    """One change."""

    name: str
    apply: Apply
    nothing: str
    """Why nothing was changed, if no net thread had anything to change."""
    first_only: bool = False
    """Whether it is made on the first net thread only, which passes it on to the others."""


@dataclass(slots=True)
class Changed:
    """The result of a change in all net threads and workers."""

    lines: list[str] = field(default_factory=list)
    """What was changed, each line once."""
    refused: list[str] = field(default_factory=list)
    """Why it was not made, each text once."""
    missing: list[str] = field(default_factory=list)
    """Where it may not have been made, because there was no answer in time."""

    @property
    def error(self) -> str:
        """Why nothing was changed; "": something was."""
        return "" if self.lines else "; ".join((*self.refused, *self.missing))

    def add(
        self, lines: Sequence[str], refused: Sequence[str] = (), missing: Sequence[str] = ()
    ) -> None:
        """Add the result of another net thread or worker."""
        for mine, others in (
            (self.lines, lines),
            (self.refused, refused),
            (self.missing, missing),
        ):
            mine += [each for each in others if each not in mine]


def applied(
    change: Change, engine: Engine, listeners: Listeners, arguments: Mapping[str, str]
) -> Outcome:
    """Make a change on the net thread of an engine; return its outcome."""
    try:
        return change.apply(engine, listeners, arguments), ()
    except (LookupError, ValueError) as error:
        return (), [str(error.args[0]) if error.args else str(error)]
    except Exception as error:  # it must not end the net thread
        engine.log("error", f"control: the change {change.name} has failed", error)
        return (), [f"{change.name} has failed: the log has its error"]
