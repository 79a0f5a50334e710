"""RollingRestart: replaces the workers of a master by new processes, one by one. It decides, and
does no I/O.

    WAITING --all workers serve--> LOADING --PREPARED--> LEAVING --it has ended--> WAITING, for the
    next worker; after the last one the restart is done

A new process loads the configuration while the old one serves. Only when it could serve, the old
one drains. Both have the same listening sockets, so no connection is refused. If the new process
fails, the old one goes on, and the restart ends there.

A worker whose listeners need one process for all clients is *alone*: its successor serves only when
the old process has ended. Connections wait in the listening sockets meanwhile.
Tested in tests/workers/test_rolling_restart.py.
"""

from __future__ import annotations

from collections.abc import Collection
from enum import Enum, auto

from vcproxy.supervise.actions import Log
from vcproxy.workers.actions import (
    Action,
    KillLeaving,
    KillSuccessor,
    NotRestarted,
    Restarted,
    SendLeaving,
    StartSuccessor,
    Succeed,
)
from vcproxy.workers.limits import EXITED_0, GRACE_S, NOT_LOADED, PREPARE_S, SIGTERM
from vcproxy.workers.messages import Message, Verb
from vcproxy.workers.silence import LATE_S


class Step(Enum):
    """What a restart is doing."""

    WAITING = auto()
    """There is nothing to do, or not yet."""
    LOADING = auto()
    """The successor of a worker loads the configuration."""
    LEAVING = auto()
    """The old process of a worker drains."""


class RollingRestart:
    """The decisions of one restart at a time. Times are those of Master."""

    def __init__(self) -> None:
        self._to_go: list[int] = []
        self._done = 0
        self._open = False  # a restart was requested and has not been answered
        self._step = Step.WAITING
        self._worker = 0  # the one that is being replaced
        self._alone: Collection[int] = ()
        self.deadline: float | None = None
        """When `elapsed` must be called; None: it need not be called."""

    @property
    def running(self) -> bool:
        """Whether a restart was requested and has not ended, or an old process still drains."""
        return self._open or self.busy

    @property
    def loading(self) -> bool:
        """Whether a successor loads the configuration, which must not be replaced meanwhile."""
        return self._step is Step.LOADING

    @property
    def busy(self) -> bool:
        """Whether there is a successor that loads, or an old process that drains."""
        return self._step is not Step.WAITING

    def request(self, workers: Collection[int], alone: Collection[int]) -> None:
        """Restart these workers. `alone`: see above. To be called if it is not `running`."""
        self._to_go, self._alone, self._done = list(workers), alone, 0
        self._open = True

    def next(self, generation: int, now: float) -> list[Action]:
        """Replace the next worker, or end. To be called when all workers serve, also in vain."""
        if not self._open or self._step is not Step.WAITING:
            return []
        if not self._to_go:
            self._open = False
            return [Restarted(self._done)]
        self._worker = self._to_go.pop(0)
        self._step = Step.LOADING
        self.deadline = now + PREPARE_S
        return [StartSuccessor(self._worker, generation)]

    def prepared(self, now: float, drain_s: float) -> tuple[int, bool, list[Action]]:
        """The successor could serve: it takes the place of the worker, which drains.

        Return the worker, whether its successor may serve at once, and the actions.
        """
        self._step = Step.LEAVING
        self.deadline = now + drain_s + GRACE_S
        drain = SendLeaving(Message(Verb.DRAIN, signal=SIGTERM))
        return self._worker, self._worker not in self._alone, [Succeed(self._worker), drain]

    def left(self, how: str) -> tuple[int, bool, list[Action]]:
        """The old process of a worker has ended. `how`: see `Master.ended`.

        Return the worker, whether its successor waits for this, and the actions.
        """
        actions: list[Action] = []
        if how != EXITED_0:
            lost = "while it drained after its replacement: its connections are lost"
            actions.append(Log("error", f"worker {self._worker} {how} {lost}"))
        self._step, self.deadline = Step.WAITING, None
        self._done += 1
        return self._worker, self._worker in self._alone, actions

    def replaces(self, worker: int) -> bool:
        """Whether the successor of this worker loads the configuration."""
        return self._step is Step.LOADING and self._worker == worker

    def fail(self, reason: str) -> list[Action]:
        """End the restart before the successor serves: the old process goes on."""
        self._step, self.deadline = Step.WAITING, None
        return [KillSuccessor(), *self.end(f"worker {self._worker}: {reason}")]

    def end(self, reason: str) -> list[Action]:
        """Replace no further worker. An old process that drains already goes on doing so."""
        if self.loading:
            return self.fail(reason)
        if not self._open:
            return []
        self._open = False
        self._to_go.clear()
        return [NotRestarted(reason)]

    def stop(self, now: float) -> list[Action]:
        """The proxy ends at once: so does an old process that drains."""
        if not self.busy:
            return []
        self.deadline = now + GRACE_S
        return [SendLeaving(Message(Verb.STOP))]

    def elapsed(self, now: float) -> list[Action]:
        """Handle the deadline, if it has passed."""
        if self.deadline is None or now < self.deadline:
            return []
        late = now - self.deadline
        if late > LATE_S:  # this process was stopped, perhaps with its workers: see Silence
            self.deadline = now + late
            return []
        if self.loading:
            return self.fail(f"its successor {NOT_LOADED}")
        self.deadline = None
        text = f"worker {self._worker} has not ended in time after it was replaced: it is killed"
        return [Log("error", text), KillLeaving()]
