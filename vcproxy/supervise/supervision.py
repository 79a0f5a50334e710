"""Supervision: a Supervisor on an engine. It has the timer, and carries out what is decided."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Protocol

from vcproxy.engine.continuation import Continuation
from vcproxy.engine.event import Event
from vcproxy.supervise.actions import (
    Ended,
    Escalate,
    KillChild,
    Log,
    StartChild,
    StopChild,
    SupervisorAction,
)

if TYPE_CHECKING:
    from vcproxy.engine.engine import Engine
    from vcproxy.engine.mutex import Mutex
    from vcproxy.engine.scheduler import Action
    from vcproxy.supervise.supervisor import Life, Supervisor


class ChildControl(Protocol):
    """How the children of a Supervision are started and ended.

    It calls `started`, `ended` and `hung` of the Supervision, later or inside these methods.
    """

    def start_child(self, name: str) -> None:
        """Start a child. See StartChild."""

    def stop_child(self, name: str) -> None:
        """Ask a child to end. See StopChild."""

    def kill_child(self, name: str) -> None:
        """End a child whatever it does. See KillChild."""

    def supervision_ended(self, failure: str) -> None:
        """All children have ended for good. `failure`: why the supervisor has failed, or "" if it
        was stopped. The last call."""


class Supervision(Continuation):
    """Carries out the actions of a Supervisor, in order. Its mutex is that of its owner."""

    __slots__ = ("_abandoned", "_busy", "_children", "_queue", "_supervisor", "_timer", "name")

    def __init__(
        self,
        engine: Engine,
        mutex: Mutex,
        supervisor: Supervisor,
        children: ChildControl,
        name: str,
    ) -> None:
        """`name`: with which its log lines begin."""
        super().__init__(engine, mutex)
        self.name = name
        self._supervisor = supervisor
        self._children = children
        self._timer: Action | None = None
        self._queue: list[SupervisorAction] = []
        self._busy = False
        self._abandoned = False

    def life(self, name: str) -> Life:
        """Return what a child does. Raises KeyError for an unknown name."""
        return self._supervisor.life(name)

    @property
    def stopping(self) -> bool:
        """Whether the children are being stopped for good."""
        return self._supervisor.stopping

    # -- events: see Supervisor ----------------------------------------------------------------

    def start(self) -> None:
        """Start the children. To be called once."""
        self._carry_out(self._supervisor.start(self.engine.now))

    def started(self, name: str) -> None:
        """A child has started."""
        self._carry_out(self._supervisor.started(name, self.engine.now))

    def ended(self, name: str, orderly: bool, text: str) -> None:
        """A child has ended, or could not be started."""
        self._carry_out(self._supervisor.ended(name, orderly, text, self.engine.now))

    def hung(self, name: str, text: str) -> None:
        """A child runs and does not work."""
        self._carry_out(self._supervisor.hung(name, text, self.engine.now))

    def stop(self) -> None:
        """Stop all children for good, the last first."""
        self._carry_out(self._supervisor.stop(self.engine.now))

    def kill(self) -> None:
        """Kill all children at once, for good."""
        self._carry_out(self._supervisor.kill(self.engine.now))

    def abandon(self) -> None:
        """Do nothing any more: the owner has ended. Children that run are left as they are."""
        self._abandoned = True
        self._queue.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def handle_event(self, key: Hashable, data: object) -> None:
        """Handle the deadline."""
        self._timer = None
        self._carry_out(self._supervisor.elapsed(self.engine.now))

    # -- actions -------------------------------------------------------------------------------

    def _carry_out(self, actions: list[SupervisorAction]) -> None:
        """Carry out actions; those that follow from one of them come after the others."""
        if self._abandoned:
            return
        self._queue += actions
        if self._busy:
            return
        self._busy = True
        try:
            while self._queue:
                self._act(self._queue.pop(0))
        finally:
            self._busy = False
        if not self._abandoned:
            self._set_timer()

    def _act(self, action: SupervisorAction) -> None:
        match action:
            case StartChild(name):
                self._children.start_child(name)
            case StopChild(name):
                self._children.stop_child(name)
            case KillChild(name):
                self._children.kill_child(name)
            case Log(level, text):
                self.engine.log(level, f"{self.name}: {text}")
            case Ended():
                self._children.supervision_ended("")
            case Escalate(reason):
                self._children.supervision_ended(reason)

    def _set_timer(self) -> None:
        deadline = self._supervisor.deadline
        if self._timer is not None:
            if self._timer.when == deadline:
                return
            self._timer.cancel()
            self._timer = None
        if deadline is not None:
            self._timer = self.engine.schedule_at(deadline, self, Event.TIMEOUT, None)
