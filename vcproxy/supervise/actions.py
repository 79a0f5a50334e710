"""What Supervisor asks of its owner. Tested in tests/supervise/test_supervisor.py."""

from __future__ import annotations

from dataclasses import dataclass

from vcproxy.engine.log_function import Level


@dataclass(frozen=True, slots=True)
class StartChild:
    """Start a child; then call `started`, or `ended` if that fails."""

    name: str


@dataclass(frozen=True, slots=True)
class StopChild:
    """Ask a child to end (SIGTERM, a letter); call `ended` when it has.

    The child may still be starting: if it cannot be asked now, ask it when it can.
    """

    name: str


@dataclass(frozen=True, slots=True)
class KillChild:
    """End a child whatever it does (SIGKILL); call `ended` when it has ended. See StopChild."""

    name: str


@dataclass(frozen=True, slots=True)
class Log:
    """Write a line to the log."""

    level: Level
    text: str


@dataclass(frozen=True, slots=True)
class Ended:
    """All children have ended, as `stop` or `kill` asked. The last action of a supervisor."""


@dataclass(frozen=True, slots=True)
class Escalate:
    """The supervisor has failed, and all its children have ended: its owner must fail, so that the
    owner's parent decides. The last action of a supervisor."""

    reason: str


SupervisorAction = StartChild | StopChild | KillChild | Log | Ended | Escalate
