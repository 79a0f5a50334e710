"""Supervisor: starts children, starts them again when they end, and ends them in order.

A value that decides and does no I/O. Each call is an event; it returns the actions to carry out,
in order. `deadline` is when `elapsed` must be called. Times are seconds of a clock that never goes
back.

Its model is Erlang/OTP's supervisor behaviour (stdlib, supervisor.erl), with its words:

- Children are started in the order of the list, each after the one before has started, and stopped
  in the reverse order, each after the one before has ended.
- A child that ends unasked is started again or not, as its Restart requires.
- With it, those that the Strategy names are stopped and started, except temporary ones, which are
  not started again. A transient child among them that had ended is started again too.
- One failure counts as one restart, however many children it concerns. One more than the Intensity
  allows: all children are stopped, then the supervisor fails (Escalate).
- A child that does not end within its time is killed.

It differs in these points:

- OTP starts a failed child again at once, so a failure that lasts is tried as often as the
  intensity allows, within milliseconds, and then the supervisor fails. Here the first restart is
  immediate, and those that follow wait: see Backoff. The wait begins with the end of the child.
  10 s of health (HEALTHY_S) make the next restart immediate again.
- A first start that fails makes OTP's supervisor fail. Here it is a failure like any other: what
  a program needs from outside may be there a moment later.
- OTP does nothing else while it restarts a child. Here other children's ends are handled while one
  waits; with `one_for_one` they are also started.
- A start has a limit too (ChildSpec.start_s), and a child that hangs can be reported (`hung`).
- OTP's significant children (`auto_shutdown`) are left out; Restart.RAISE is added.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from math import inf
from typing import TYPE_CHECKING

from vcproxy.engine.units import show_duration
from vcproxy.supervise.actions import (
    Ended,
    Escalate,
    KillChild,
    Log,
    StartChild,
    StopChild,
    SupervisorAction,
)
from vcproxy.supervise.child_spec import ChildSpec, Restart
from vcproxy.supervise.intensity import Intensity, RestartHistory
from vcproxy.supervise.strategy import Strategy
from vcproxy.upstream.backoff import Backoff

if TYPE_CHECKING:
    from random import Random

    from vcproxy.engine.log_function import Level

HEALTHY_S = 10.0
"""A child that ran so long after `started` is started again at once: what had made it fail has
passed. It is the intensity's default period, too."""


class Life(Enum):
    """What a child does, as far as its supervisor has been informed."""

    DOWN = auto()
    """It does not run: it waits for its turn or its delay, or is not to be started again."""
    STARTING = auto()
    RUNNING = auto()
    STOPPING = auto()
    """It was asked to end."""
    KILLED = auto()
    """It was killed, and its end is awaited."""


@dataclass(slots=True)
class _Child:
    spec: ChildSpec
    life: Life = Life.DOWN
    wanted: bool = True
    """Whether it is to run."""
    condemned: bool = False
    """Whether it is to end: its end is no failure."""
    trouble: str = ""
    """Why it was killed, if its supervisor did so unasked."""
    due: float = 0.0
    """When it may be started."""
    limit: float | None = None
    """When it is killed: it has not started, or not ended."""
    healthy: float = inf
    """When it will have been in health for HEALTHY_S; inf: it has not started."""
    backoff: Backoff | None = None
    """None: the next restart is immediate."""


class Supervisor:
    """The decisions about one list of children."""

    __slots__ = (
        "_children", "_escalation", "_history", "_intensity", "_noun", "_over", "_random",
        "_stopping", "_strategy", "_together", "deadline", "restarts",
    )  # fmt: skip

    def __init__(
        self,
        children: Sequence[ChildSpec],
        strategy: Strategy,
        intensity: Intensity,
        random: Random,
        noun: str = "child",
    ) -> None:
        """Make a supervisor of children that do not run yet.

        Args:
            children: in the order of their starts.
            strategy: which children a failure concerns.
            intensity: how many restarts are too many.
            random: the engine's source of randomness, for the delays.
            noun: what log lines call a child: "worker" gives "worker 1 exited with status 2".

        Raises:
            ValueError: two children have the same name.
        """
        self._children = {spec.name: _Child(spec) for spec in children}
        if len(self._children) < len(children):
            names = [spec.name for spec in children]
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"two children are named {twice}")
        self._strategy = strategy
        self._intensity = intensity
        self._history = RestartHistory(intensity)
        self._random = random
        self._noun = noun
        self._stopping = False
        self._together = False
        self._escalation: Escalate | None = None
        self._over = False
        self.deadline: float | None = None
        """When `elapsed` must be called; None: it need not be called."""
        self.restarts = 0
        """How often children were started again after a failure: see the rule above."""

    def life(self, name: str) -> Life:
        """Return what a child does. Raises KeyError for an unknown name."""
        return self._children[name].life

    @property
    def stopping(self) -> bool:
        """Whether the children are being stopped for good, by `stop`, `kill` or a failure."""
        return self._stopping

    # -- events ------------------------------------------------------------------------------

    def start(self, now: float) -> list[SupervisorAction]:
        """Start the children. To be called once, before any event."""
        return self._advance(now)

    def started(self, name: str, now: float) -> list[SupervisorAction]:
        """A child has started: those after it may start now, and its health is counted from now.

        For children that do not wait for one another's start, call it right after StartChild.
        Raises KeyError for an unknown name.
        """
        child = self._children[name]
        child.healthy = now + HEALTHY_S
        if child.life is Life.STARTING:
            child.life = Life.RUNNING
        if child.life is not Life.STOPPING or child.spec.shutdown_s is None:
            child.limit = None
        return self._advance(now)

    def ended(self, name: str, orderly: bool, text: str, now: float) -> list[SupervisorAction]:
        """A child has ended, or could not be started.

        The end of a child that does not run is ignored: it was reported before.

        Args:
            name: the child's name. Raises KeyError if it is unknown.
            orderly: whether it ended as it should: a program's exit status 0; its death by the
                signal that it was stopped with.
            text: how it ended, in words that continue its name: "exited with status 1".
            now: the time.
        """
        child = self._children[name]
        life, child.life, child.limit = child.life, Life.DOWN, None
        if life is Life.DOWN:
            return []
        if now >= child.healthy:
            child.backoff = None
        if not child.condemned:
            return self._failed(child, orderly, child.trouble or text, now)
        child.condemned = False
        if child.spec.restart is Restart.TEMPORARY:
            child.wanted = False
        actions: list[SupervisorAction] = []
        if not orderly and life is Life.STOPPING:
            actions.append(Log("warning", f"{self._noun} {name} {text} while it was stopped"))
        return actions + self._advance(now)

    def hung(self, name: str, text: str, now: float) -> list[SupervisorAction]:
        """A child runs and does not work: kill it. Its end is then a failure, with this text.

        A child that is already to end is left to its time limit. Raises KeyError for an unknown
        name. `text`: what it does not do, in words that continue its name: "has sent no heartbeat
        for 1m".
        """
        child = self._children[name]
        if child.condemned or child.life not in (Life.STARTING, Life.RUNNING):
            return []
        return [*self._kill(child, "error", text), *self._advance(now)]

    def elapsed(self, now: float) -> list[SupervisorAction]:
        """Handle the deadline, if it has passed."""
        actions: list[SupervisorAction] = []
        for child in self._children.values():
            if child.limit is None or now < child.limit:
                continue
            if child.life is Life.STARTING or child.spec.shutdown_s is None:
                limit = show_duration(child.spec.start_s or 0)
                actions += self._kill(child, "error", f"has not started within {limit}")
            else:
                limit = show_duration(child.spec.shutdown_s)
                actions += self._kill(child, "warning", f"has not ended within {limit}")
        return actions + self._advance(now)

    def stop(self, now: float, together: bool = False) -> list[SupervisorAction]:
        """Stop all children for good; Ended follows when the last one has ended.

        `together`: all at once, for children that do not need one another while they end.
        """
        self._stopping = True
        self._together = self._together or together
        for child in self._children.values():
            child.wanted = False
            child.condemned = child.life is not Life.DOWN
        return self._advance(now)

    def kill(self, now: float) -> list[SupervisorAction]:
        """Kill all children at once, for good; Ended follows when the last one has ended."""
        self._stopping = True
        actions: list[SupervisorAction] = []
        for child in reversed(self._children.values()):
            child.wanted = False
            child.condemned = child.life is not Life.DOWN
            if child.life not in (Life.DOWN, Life.KILLED):
                child.life, child.limit = Life.KILLED, None
                actions.append(KillChild(child.spec.name))
        return actions + self._advance(now)

    # -- decisions ---------------------------------------------------------------------------

    def _failed(
        self, child: _Child, orderly: bool, text: str, now: float
    ) -> list[SupervisorAction]:
        """A child has ended unasked."""
        restart = child.spec.restart
        what = f"{self._noun} {child.spec.name} {text}"
        if restart is Restart.TEMPORARY or (orderly and restart is not Restart.PERMANENT):
            child.wanted = False
            end = Log("info" if orderly else "error", f"{what}; it is not started again")
            return [end, *self._advance(now)]
        if restart is Restart.RAISE:
            return self._give_up(what, now)
        if not self._history.add(now):
            return self._give_up(f"{what}, after more than {self._intensity}", now)
        self.restarts += 1
        delay_s = 0.0
        if child.backoff is None:
            child.backoff = Backoff(self._random)
        else:
            delay_s = child.backoff.next_s()
        others = self._others(child)
        for each in (child, *others):
            each.due = max(each.due, now + delay_s)
            each.condemned = each.life is not Life.DOWN
            each.wanted = each.wanted or each.spec.restart is not Restart.TEMPORARY
        it = "it is" if not others else "it and those after it are"
        if self._strategy is Strategy.ONE_FOR_ALL:
            it = "all are"
        again = f"{what}; {it} started again"
        if delay_s:
            again += f" in {delay_s:.1f}s"
        return [Log("warning" if orderly else "error", again), *self._advance(now)]

    def _others(self, failed: _Child) -> list[_Child]:
        """Return the children that are started again with one that has failed."""
        children = list(self._children.values())
        match self._strategy:
            case Strategy.ONE_FOR_ONE:
                return []
            case Strategy.REST_FOR_ONE:
                return children[children.index(failed) + 1 :]
            case Strategy.ONE_FOR_ALL:
                return [child for child in children if child is not failed]

    def _give_up(self, reason: str, now: float) -> list[SupervisorAction]:
        self._escalation = Escalate(reason)
        return [Log("error", f"{reason}; all are stopped"), *self.stop(now)]

    def _advance(self, now: float) -> list[SupervisorAction]:
        """Take the next steps: stop what is to end; when it has ended, start what is to run."""
        condemned = [child for child in self._children.values() if child.condemned]
        stopped = condemned if self._together else condemned[-1:]
        actions = [
            self._stop(child, now)
            for child in reversed(stopped)
            if child.life in (Life.STARTING, Life.RUNNING)
        ]
        waiting: list[_Child] = []
        if self._stopping and not condemned and not self._over:
            self._over = True
            actions.append(self._escalation or Ended())
        elif not self._stopping and not condemned:
            while True:
                waiting = list(self._startable())
                due = next((child for child in waiting if now >= child.due), None)
                if due is None:
                    break
                actions.append(self._start(due, now))
        limits = [child.limit for child in self._children.values() if child.limit is not None]
        self.deadline = min([*limits, *(child.due for child in waiting)], default=None)
        return actions

    def _startable(self) -> Iterator[_Child]:
        """Yield the children that may start as soon as they are due, the first first.

        A child that depends on another one is never due before it: see `_failed`.
        """
        dependent = self._strategy is not Strategy.ONE_FOR_ONE
        for child in self._children.values():
            if child.life is Life.DOWN and child.wanted:
                yield child
            elif child.life is Life.STARTING or (dependent and child.life is Life.KILLED):
                return

    def _start(self, child: _Child, now: float) -> SupervisorAction:
        child.life, child.trouble, child.healthy = Life.STARTING, "", inf
        child.limit = None if child.spec.start_s is None else now + child.spec.start_s
        return StartChild(child.spec.name)

    def _stop(self, child: _Child, now: float) -> SupervisorAction:
        shutdown_s = child.spec.shutdown_s
        if shutdown_s == 0:
            child.life, child.limit = Life.KILLED, None
            return KillChild(child.spec.name)
        child.life = Life.STOPPING
        if shutdown_s is not None:  # else the limit of its start is left, if it has not started
            child.limit = now + shutdown_s
        return StopChild(child.spec.name)

    def _kill(self, child: _Child, level: Level, text: str) -> list[SupervisorAction]:
        child.life, child.limit = Life.KILLED, None
        child.trouble = text
        name = child.spec.name
        return [Log(level, f"{self._noun} {name} {text}: it is killed"), KillChild(name)]
