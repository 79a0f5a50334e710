"""ChildSpec: what a supervisor is given about one child. A value.

The words are those of Erlang/OTP's supervisor behaviour.

Tested in tests/supervise/test_supervisor.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

SHUTDOWN_S = 5.0
"""OTP's default for a worker: longer than a program needs that has only files to close."""

START_S = 60.0
"""As long as a machine may later send no heartbeat. A program's launch takes milliseconds."""


class Restart(Enum):
    """What follows when a child has ended that was not asked to.

    An end is *orderly* if the child wanted it: OTP's `normal`, a program's exit status 0.
    """

    PERMANENT = "permanent"
    """The child is started again, whatever its end was."""
    TRANSIENT = "transient"
    """The child is started again unless its end was orderly."""
    TEMPORARY = "temporary"
    """The child is never started again, also if a strategy has stopped it."""
    RAISE = "raise"
    """The supervisor itself fails, so that its own parent decides, unless the end was orderly. OTP
    has no such word; there, one writes an intensity of 0."""


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """How a supervisor treats one child. How it is started is known to the supervisor's owner.

    Raises ValueError if the name is empty or a time is negative.
    """

    name: str
    """Unique among the children of a supervisor."""
    restart: Restart = Restart.PERMANENT
    shutdown_s: float | None = SHUTDOWN_S
    """Seconds from StopChild to KillChild. 0: KillChild at once (OTP: brutal_kill). None: it is
    never killed (OTP: infinity), for a child that is a supervisor and has children to wait for."""
    start_s: float | None = START_S
    """Seconds from StartChild to `started`, after which the child is killed. None: no limit, as in
    OTP, where a child that hangs in its start blocks its supervisor."""

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("a child needs a name")
        for limit_s in (self.shutdown_s, self.start_s):
            if limit_s is not None and limit_s < 0:
                raise ValueError(f"child {self.name}: a time of {limit_s:g} s is negative")
