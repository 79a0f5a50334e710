"""Master: what the master process does with its workers. It decides, and does no I/O.

Each call is an event; it returns the actions to carry out, in order. `deadline` is when `elapsed`
must be called. Times are seconds of a clock that never goes back.

Its phases are in `phases`. A configuration is used by all workers or by none.

A worker that ends although it should serve is started again, in any phase, with the configuration
in use; when, and when no more, a Supervisor decides. If a worker ends while the proxy starts, the
proxy does not start. If the workers fail more often than the intensity allows, the rest drain, and
the master ends with EXHAUSTED_STATUS.

A worker that serves sends PULSED while all of its net threads turn. If it is silent for
`timeout_s`, it is asked for the stacks of its threads, and killed soon afterwards.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from vcproxy.engine.units import show_duration
from vcproxy.listeners.automatic_reloads import NEVER_LOADED
from vcproxy.supervise.actions import KillChild, Log, StartChild, SupervisorAction
from vcproxy.supervise.child_spec import ChildSpec
from vcproxy.supervise.strategy import Strategy
from vcproxy.supervise.supervisor import Supervisor
from vcproxy.workers import actions as do
from vcproxy.workers.actions import Action
from vcproxy.workers.limits import (
    EXHAUSTED_STATUS,
    EXITED_0,
    GRACE_S,
    NOT_LOADED,
    PREPARE_S,
    SIGTERM,
    STACKS_S,
)
from vcproxy.workers.messages import Message, Verb
from vcproxy.workers.phases import Phase, State
from vcproxy.workers.rolling_restart import RollingRestart
from vcproxy.workers.silence import Silence

if TYPE_CHECKING:
    from random import Random

    from vcproxy.supervise.intensity import Intensity


class Master:
    """The decisions of one master process."""

    def __init__(
        self, workers: int, drain_s: float, timeout_s: float, intensity: Intensity, random: Random
    ) -> None:
        """Decide for a number of workers, which do not run yet.

        Args:
            workers: their number.
            drain_s: how long they may drain.
            timeout_s: how long a worker that serves may be silent; 0: there is no limit.
            intensity: how many restarts are too many.
            random: for the delays of restarts.
        """
        self.phase = Phase.STARTING
        self._deadline: float | None = None  # of the phase
        self._states = dict.fromkeys(range(1, workers + 1), State.PREPARING)
        self._replacing: set[int] = set()  # workers started again that do not serve yet
        self._generation = 1
        self._drain_s = drain_s
        self._candidate_drain_s = drain_s
        self._loaded = False  # a new configuration has been loaded and is not in use yet
        self._reload = False  # a reload was requested and has not begun
        self._timeout_s = timeout_s
        self._silence = Silence()
        self._asked: set[int] = set()  # workers that were asked for their stacks
        self.rolling = RollingRestart()
        # Their ends are limited by the phase, and their starts as their silence is.
        children = [ChildSpec(str(each), shutdown_s=None, start_s=None) for each in self._states]
        self.supervisor = Supervisor(
            children, Strategy.ONE_FOR_ONE, intensity, random, noun="worker"
        )
        self._status = 0

    @property
    def deadline(self) -> float | None:
        """When `elapsed` must be called; None: it need not be called."""
        times = [self._deadline, self.rolling.deadline]
        if not self._ending:
            times += [self.supervisor.deadline, self._silence.deadline]
        return min((time for time in times if time is not None), default=None)

    def start(self, now: float) -> list[Action]:
        """Start the workers. To be called once, before any event."""
        return self._supervise(self.supervisor.start(now), now)

    # -- events ------------------------------------------------------------------------------

    def received(self, worker: int, message: Message, now: float) -> list[Action]:
        """Handle a message from a worker."""
        if message.verb is Verb.STOP_REQUESTED:
            if self._ending:
                return []
            self._status = int(message.text or 0)
            return self._drain(SIGTERM, message.pid, now)
        if message.verb is Verb.ERRORED:
            return [Log("error", f"worker {worker} has failed, and ends:\n{message.text}")]
        if message.verb is Verb.RELOAD_REQUESTED:
            return self.reload(now)
        if self._ending:
            return []
        if message.verb is Verb.PULSED:
            self._expect_pulse(worker, now)
            return []
        if message.generation != self._generation:
            return []
        if message.verb is Verb.REFUSED:
            return self._refused(worker, message.text, now)
        if message.verb is Verb.SERVING:
            if message.text and self._starting:
                return self._give_up(1, message.text)
            self._states[worker] = State.SERVING
            self._replacing.discard(worker)
            self.supervisor.started(str(worker), now)  # its health counts from now on
            return self._advance(now)
        self._states[worker] = State.PREPARED
        if worker in self._replacing:
            return [self._commit(worker, now)]
        if self.phase is Phase.STARTING:
            self._silence.allow(worker)  # it waits for the others
        return self._advance(now)

    def ended(self, worker: int, how: str, now: float) -> list[Action]:
        """Handle the end of a worker process. `how`: its exit status or signal, in words."""
        self._states[worker] = State.ENDED
        self._silence.allow(worker)
        self._asked.discard(worker)
        if self._ending:
            if how != EXITED_0:
                self._status = self._status or 1
                text = f"worker {worker} {how} while it was ending: its connections are lost"
                return [Log("error", text), *self._exit_if_all_ended()]
            return self._exit_if_all_ended()
        if self.phase is Phase.STARTING:
            return self._give_up(1, f"worker {worker} {how} before it was ready")
        actions: list[Action] = []
        if self.rolling.replaces(worker):
            reason = f"it {how} while its successor loaded the configuration"
            actions += self._after(self.rolling.fail(reason), now)
        if self.phase is Phase.PREPARING:
            reason = f"worker {worker} {how} while it loaded the configuration"
            actions += self._roll_back(reason, now)
        text = f"{how}: its connections are lost"
        actions += self._supervise(self.supervisor.ended(str(worker), False, text, now), now)
        if self.supervisor.stopping:
            self._status = EXHAUSTED_STATUS
            actions += self._drain(SIGTERM, 0, now)
        return actions

    def loaded(self, now: float, drain_s: float = 0.0, error: str = "") -> list[Action]:
        """Handle the end of Load. `error`: why there is no candidate; empty: there is a candidate,
        which lets the workers drain for `drain_s`."""
        if self.phase is not Phase.LOADING:  # it ends, or the loading was given up
            return [do.Drop()]
        self._deadline = None
        if error:
            self.phase = Phase.SERVING
            return [do.NotReloaded(error), *self._advance(now)]
        self._loaded, self._candidate_drain_s = True, drain_s
        return self._advance(now)

    def reload(self, now: float) -> list[Action]:
        """Handle SIGHUP. A reload in progress ends first, because the file may be newer."""
        if self._ending:
            return []
        self._reload = True
        return self._advance(now)

    # -- a restart ---------------------------------------------------------------------------

    def restart(self, alone: Collection[int], now: float) -> list[Action]:
        """Replace all workers one by one, unless `rolling.running`. `alone`: see RollingRestart."""
        if self._ending:
            return [do.NotRestarted("the proxy ends")]
        self.rolling.request(self._states, alone)
        return self._advance(now)

    def successor_received(self, message: Message, now: float) -> list[Action]:
        """Handle a message from a process that is to take the place of a worker."""
        if not self.rolling.loading:
            return []
        if message.verb is Verb.REFUSED:
            return self._after(self.rolling.fail(message.text), now)
        if message.verb is not Verb.PREPARED:
            return []
        worker, at_once, actions = self.rolling.prepared(now, self._drain_s)
        self._states[worker] = State.PREPARED
        self._silence.allow(worker)
        return [*actions, *([self._commit(worker, now)] if at_once else [])]

    def successor_ended(self, how: str, now: float) -> list[Action]:
        """Handle the end of a process that was to take the place of a worker."""
        if not self.rolling.loading:
            return []
        return self._after(self.rolling.fail(f"its successor {how}"), now)

    def left(self, how: str, now: float) -> list[Action]:
        """Handle the end of a process whose worker has a successor."""
        worker, waits, actions = self.rolling.left(how)
        if self._ending:
            return [*actions, *self._exit_if_all_ended()]
        prepared = self._states[worker] is State.PREPARED and worker not in self._replacing
        if waits and prepared and self.phase is Phase.RESTARTING:
            actions.append(self._commit(worker, now))
        return [*actions, *self._advance(now)]

    def _after(self, actions: list[Action], now: float) -> list[Action]:
        """Return actions of a restart; if they have ended it early, also what follows."""
        if self.phase is not Phase.RESTARTING or not actions or self.rolling.busy:
            return actions
        self.phase = Phase.SERVING
        return [*actions, *self._advance(now)]

    # -- other events ------------------------------------------------------------------------

    def reopen(self) -> list[Action]:
        """Handle SIGUSR1."""
        return [do.Reopen(), *self._send_all(Message(Verb.REOPEN))]

    def renew(self) -> list[Action]:
        """Handle a change of certificate or key files. Workers that do not serve yet compare the
        files themselves once they do."""
        return [] if self._ending else self._send_all(Message(Verb.RENEW))

    def end(self, signal: int, pid: int, now: float) -> list[Action]:
        """Handle a signal that ends the proxy, from the process `pid`. The second signal ends it at
        once."""
        if self.phase is Phase.STOPPING:
            return []
        if self.phase is Phase.DRAINING:
            self.phase = Phase.STOPPING
            self._deadline = now + GRACE_S
            return [*self._send_all(Message(Verb.STOP)), *self.rolling.stop(now)]
        return self._drain(signal, pid, now)

    def elapsed(self, now: float) -> list[Action]:
        """Handle the deadline, if it has passed."""
        actions = self._after(self.rolling.elapsed(now), now)
        if self._ending:
            return [*actions, *self._not_ended(now)]
        if self._deadline is not None and now >= self._deadline:
            if self.phase is Phase.LOADING:
                actions += self.loaded(now, error=NEVER_LOADED)
            else:
                late = next(each for each, at in self._states.items() if at is State.PREPARING)
                actions += self._roll_back(f"worker {late} {NOT_LOADED}", now)
        actions += self._supervise(self.supervisor.elapsed(now), now)
        for worker in self._silence.late(now):
            actions += self._silent(worker, now)
        return actions

    # -- decisions ---------------------------------------------------------------------------

    @property
    def _ending(self) -> bool:
        return self.phase in (Phase.DRAINING, Phase.STOPPING)

    @property
    def _starting(self) -> bool:
        """Whether the proxy was not ready yet. A worker that is started again has its programs'
        errors in the log, and serves: its other listeners need it."""
        return self.phase is Phase.COMMITTING and self._generation == 1

    def _all(self, state: State) -> bool:
        return all(each is state for each in self._states.values())

    def _advance(self, now: float) -> list[Action]:
        """Enter the next phase if all workers have reached it."""
        actions: list[Action] = []
        if self.phase is Phase.STARTING and self._all(State.PREPARED):
            self.phase = Phase.COMMITTING
            actions += [self._commit(worker, now) for worker in self._states]
        elif self.phase is Phase.LOADING and self._loaded and self._all(State.SERVING):
            self.phase = Phase.PREPARING
            self._deadline = now + PREPARE_S
            self._generation += 1
            self._states = dict.fromkeys(self._states, State.PREPARING)
            actions += [do.Offer(worker, self._generation) for worker in self._states]
        elif self.phase is Phase.PREPARING and self._all(State.PREPARED):
            self.phase = Phase.COMMITTING
            self._deadline = None
            self._loaded, self._drain_s = False, self._candidate_drain_s
            actions += [do.Adopt(), *(self._commit(worker, now) for worker in self._states)]
        elif self.phase is Phase.COMMITTING and self._all(State.SERVING):
            self.phase = Phase.SERVING
            actions.append(do.Ready() if self._generation == 1 else do.Reloaded())
        elif (
            self.phase is Phase.RESTARTING and self._all(State.SERVING) and not self.rolling.loading
        ):
            self.phase = Phase.SERVING
        if self._reload and self.phase is Phase.SERVING:
            self._reload = False
            self.phase = Phase.LOADING
            self._deadline = now + PREPARE_S
            actions.append(do.Load())
        if self.phase is Phase.SERVING and self._all(State.SERVING):
            actions += self.rolling.next(self._generation, now)
            if self.rolling.loading:
                self.phase = Phase.RESTARTING
        return actions

    def _supervise(self, decided: Sequence[SupervisorAction], now: float) -> list[Action]:
        """Carry out what the supervisor has decided, except stops: the end is that of a phase."""
        actions: list[Action] = []
        for each in decided:
            match each:
                case StartChild(name):
                    actions.append(self._spawn(int(name), now))
                    actions += self._supervise(self.supervisor.started(name, now), now)
                case KillChild(name):
                    actions.append(do.Kill(int(name)))
                case Log():
                    actions.append(each)
        return actions

    def _spawn(self, worker: int, now: float) -> do.Spawn:
        self._states[worker] = State.PREPARING
        if self.phase is not Phase.STARTING:
            self._replacing.add(worker)
        self._silence.expect(worker, now + PREPARE_S)
        return do.Spawn(worker, self._generation)

    def _expect_pulse(self, worker: int, now: float) -> None:
        self._asked.discard(worker)
        if self._timeout_s:
            self._silence.expect(worker, now + self._timeout_s)
        else:
            self._silence.allow(worker)

    def _silent(self, worker: int, now: float) -> list[Action]:
        """Ask a worker that has been silent for too long for its stacks; then kill it."""
        if worker not in self._asked:
            self._asked.add(worker)
            self._silence.expect(worker, now + STACKS_S)
            return [do.AskStacks(worker)]
        self._silence.allow(worker)
        text = f"has sent no heartbeat for {show_duration(self._timeout_s)}"
        if self._states[worker] is State.PREPARING:
            text = NOT_LOADED
        if self.phase is Phase.STARTING:
            return self._give_up(1, f"worker {worker} {text}")
        return self._supervise(self.supervisor.hung(str(worker), text, now), now)

    def _not_ended(self, now: float) -> list[Action]:
        """Ask workers that have not ended in time for their stacks; then kill them."""
        if self._deadline is None or now < self._deadline:
            return []
        late = [each for each, state in self._states.items() if state is not State.ENDED]
        if unasked := [each for each in late if each not in self._asked]:
            self._asked.update(unasked)
            self._deadline = now + STACKS_S
            return [do.AskStacks(each) for each in unasked]
        self._deadline = None
        text = "worker {} has not ended in time: it is killed"
        logged = [Log("error", text.format(each)) for each in late]
        return [*logged, *(do.Kill(each) for each in late)]

    def _commit(self, worker: int, now: float) -> do.Send:
        self._states[worker] = State.COMMITTING
        self._expect_pulse(worker, now)
        return do.Send(worker, Message(Verb.COMMIT, self._generation))

    def _refused(self, worker: int, reason: str, now: float) -> list[Action]:
        if worker in self._replacing:
            return [Log("error", f"worker {worker} cannot start: {reason}")]
        if self.phase is Phase.STARTING:
            return self._give_up(1, reason)
        return self._roll_back(f"worker {worker}: {reason}", now)

    def _roll_back(self, reason: str, now: float) -> list[Action]:
        """Keep the configuration in use, and drop the candidate."""
        message = Message(Verb.ROLL_BACK, self._generation)
        self.phase = Phase.SERVING
        self._deadline = None
        self._generation += 1  # so answers about the candidate that arrive later are ignored
        self._loaded = False
        actions: list[Action] = [do.NotReloaded(reason)]
        for worker, state in self._states.items():
            if state is not State.ENDED:
                self._states[worker] = State.SERVING
                actions.append(do.Send(worker, message))
        return [*actions, do.Drop(), *self._advance(now)]

    def _drain(self, signal: int, pid: int, now: float) -> list[Action]:
        self.phase = Phase.DRAINING
        self._deadline = now + self._drain_s + GRACE_S
        # Unlisten comes first: a socket that only the master holds would take connections that
        # nobody accepts.
        actions = self._send_all(Message(Verb.DRAIN, signal=signal, pid=pid))
        rolling = self.rolling.end("the proxy ends")
        return [do.Unlisten(), do.Drop(), *rolling, *actions, *self._exit_if_all_ended()]

    def _give_up(self, status: int, reason: str) -> list[Action]:
        """End the start: the proxy was not ready yet."""
        live = [each for each, state in self._states.items() if state is not State.ENDED]
        return [*(do.Kill(worker) for worker in live), do.Exit(status, reason)]

    def _exit_if_all_ended(self) -> list[Action]:
        ended = self._all(State.ENDED) and not self.rolling.busy
        return [do.Exit(self._status)] if ended else []

    def _send_all(self, message: Message) -> list[Action]:
        return [
            do.Send(worker, message)
            for worker, state in self._states.items()
            if state is not State.ENDED
        ]
