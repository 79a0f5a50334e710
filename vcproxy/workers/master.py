"""Master: what the master process does with its workers. It decides, and does no I/O.

Each call is an event; it returns the actions to carry out, in order. `deadline` is when `elapsed`
must be called. Times are seconds of a clock that never goes back.

The phases of the master, and what all workers have reached when one ends:

    STARTING --all PREPARED--> COMMITTING --all SERVING--> SERVING
    SERVING --SIGHUP--> LOADING --loaded, all SERVING--> PREPARING
    PREPARING --all PREPARED--> COMMITTING --all SERVING--> SERVING
    PREPARING --one refuses, ends, or is late--> SERVING, with the configuration as before
    any --SIGTERM--> DRAINING --SIGTERM--> STOPPING
    DRAINING, STOPPING --all ENDED--> Exit

So a configuration is used by all workers or by none. A worker that ends although it should serve is
started again at once, in any phase, with the configuration in use; if it ends while the proxy
starts, the proxy does not start. Too many such ends (see Deaths) drain the rest and end the master
with DEATHS_STATUS.
"""

from __future__ import annotations

from enum import Enum, auto

from vcproxy.engine.units import show_duration
from vcproxy.supervise.actions import Log
from vcproxy.workers.actions import (
    Action,
    Adopt,
    Drop,
    Exit,
    Kill,
    Load,
    NotReloaded,
    Offer,
    Ready,
    Reloaded,
    Reopen,
    Send,
    Spawn,
    Unlisten,
)
from vcproxy.workers.deaths import Deaths
from vcproxy.workers.messages import Message, Verb

DEATHS_STATUS = 3
"""Exit status after too many deaths of workers. 1 is an error at the start or at the end, and 2 a
wrong command line."""

PREPARE_S = 30.0
"""How long a worker may take to load a configuration. It takes less than a second, except on a
machine that is out of memory, or behind a plugin that blocks."""

GRACE_S = 5.0
"""How long a worker may take to end after the time for its end. One that takes longer hangs in a
plugin."""

SIGTERM = 15
"""The number of the signal, the same on every Linux."""


class Phase(Enum):
    """What the master is doing."""

    STARTING = auto()
    SERVING = auto()
    LOADING = auto()
    PREPARING = auto()
    COMMITTING = auto()
    DRAINING = auto()
    STOPPING = auto()


class State(Enum):
    """What a worker has reached."""

    PREPARING = auto()
    """The worker loads the configuration of its generation, for a reload or because it was just
    started."""
    PREPARED = auto()
    COMMITTING = auto()
    SERVING = auto()
    ENDED = auto()


class Master:
    """The decisions of one master process."""

    def __init__(self, workers: int, drain_s: float) -> None:
        """`drain_s`: how long the workers may drain."""
        self.phase = Phase.STARTING
        self.deadline: float | None = None
        """When `elapsed` must be called; None: it need not be called."""
        self._states = dict.fromkeys(range(1, workers + 1), State.PREPARING)
        self._replacing: set[int] = set()  # workers started again that do not serve yet
        self._generation = 1
        self._drain_s = drain_s
        self._candidate_drain_s = drain_s
        self._loaded = False  # a new configuration has been loaded and is not in use yet
        self._reload = False  # a reload was requested and has not begun
        self._deaths = Deaths()
        self._status = 0

    def start(self) -> list[Action]:
        """Start the workers. To be called once, before any event."""
        return [Spawn(worker, self._generation) for worker in self._states]

    # -- events ------------------------------------------------------------------------------

    def received(self, worker: int, message: Message, now: float) -> list[Action]:
        """Handle a message from a worker."""
        if message.verb is Verb.STOP_REQUESTED:
            return [] if self._ending else self._drain(SIGTERM, message.pid, now)
        if message.verb is Verb.RELOAD_REQUESTED:
            return self.reload(now)
        if self._ending or message.generation != self._generation:
            return []
        if message.verb is Verb.REFUSED:
            return self._refused(worker, message.text, now)
        self._states[worker] = State.PREPARED if message.verb is Verb.PREPARED else State.SERVING
        if worker in self._replacing:
            if message.verb is Verb.PREPARED:
                return [self._commit(worker)]
            self._replacing.discard(worker)
        return self._advance(now)

    def ended(self, worker: int, how: str, now: float) -> list[Action]:
        """Handle the end of a worker process. `how`: its exit status or signal, in words."""
        self._states[worker] = State.ENDED
        if self._ending:
            if how != EXITED_0:
                self._status = self._status or 1
                text = f"worker {worker} {how} while it was ending: its connections are lost"
                return [Log("error", text), *self._exit_if_all_ended()]
            return self._exit_if_all_ended()
        if self.phase is Phase.STARTING:
            return self._give_up(1, f"worker {worker} {how} before it was ready")
        text = f"worker {worker} {how}: its connections are lost"
        actions: list[Action] = []
        if self.phase is Phase.PREPARING:
            reason = f"worker {worker} {how} while it loaded the configuration"
            actions += self._roll_back(reason, now)
        if self._deaths.add(now):
            period = show_duration(self._deaths.period_s)
            why = f"{self._deaths.limit} workers have ended within {period}: the proxy ends"
            self._status = DEATHS_STATUS
            actions += [Log("error", text), Log("error", why)]
            return actions + self._drain(SIGTERM, 0, now)
        self._states[worker] = State.PREPARING
        self._replacing.add(worker)
        actions += [Log("error", f"{text}; it is started again"), Spawn(worker, self._generation)]
        return actions

    def loaded(self, now: float, drain_s: float = 0.0, error: str = "") -> list[Action]:
        """Handle the end of Load. `error`: why there is no candidate; empty: there is a candidate,
        which lets the workers drain for `drain_s`."""
        if self._ending:
            return [Drop()]
        if error:
            self.phase = Phase.SERVING
            return [NotReloaded(error), *self._advance(now)]
        self._loaded, self._candidate_drain_s = True, drain_s
        return self._advance(now)

    def reload(self, now: float) -> list[Action]:
        """Handle SIGHUP. A reload in progress ends first, because the file may be newer."""
        if self._ending:
            return []
        self._reload = True
        return self._advance(now)

    def reopen(self) -> list[Action]:
        """Handle SIGUSR1."""
        return [Reopen(), *self._send_all(Message(Verb.REOPEN))]

    def end(self, signal: int, pid: int, now: float) -> list[Action]:
        """Handle a signal that ends the proxy, from the process `pid`. The second signal ends it at
        once."""
        if self.phase is Phase.STOPPING:
            return []
        if self.phase is Phase.DRAINING:
            self.phase = Phase.STOPPING
            self.deadline = now + GRACE_S
            return self._send_all(Message(Verb.STOP))
        return self._drain(signal, pid, now)

    def elapsed(self, now: float) -> list[Action]:
        """Handle the deadline, if it has passed."""
        if self.deadline is None or now < self.deadline:
            return []
        self.deadline = None
        late = [each for each, state in self._states.items() if state is not State.ENDED]
        if self._ending:
            text = "worker {} has not ended in time: it is killed"
            return [
                action for each in late for action in (Log("error", text.format(each)), Kill(each))
            ]
        late = [each for each in late if self._states[each] is State.PREPARING]
        limit = show_duration(PREPARE_S)
        reason = f"worker {late[0]} has not loaded the configuration within {limit}"
        return self._roll_back(reason, now)

    # -- decisions ---------------------------------------------------------------------------

    @property
    def _ending(self) -> bool:
        return self.phase in (Phase.DRAINING, Phase.STOPPING)

    def _all(self, state: State) -> bool:
        return all(each is state for each in self._states.values())

    def _advance(self, now: float) -> list[Action]:
        """Enter the next phase if all workers have reached it."""
        actions: list[Action] = []
        if self.phase is Phase.STARTING and self._all(State.PREPARED):
            self.phase = Phase.COMMITTING
            actions += [self._commit(worker) for worker in self._states]
        elif self.phase is Phase.LOADING and self._loaded and self._all(State.SERVING):
            self.phase = Phase.PREPARING
            self.deadline = now + PREPARE_S
            self._generation += 1
            self._states = dict.fromkeys(self._states, State.PREPARING)
            actions += [Offer(worker, self._generation) for worker in self._states]
        elif self.phase is Phase.PREPARING and self._all(State.PREPARED):
            self.phase = Phase.COMMITTING
            self.deadline = None
            self._loaded, self._drain_s = False, self._candidate_drain_s
            actions += [Adopt(), *(self._commit(worker) for worker in self._states)]
        elif self.phase is Phase.COMMITTING and self._all(State.SERVING):
            self.phase = Phase.SERVING
            actions.append(Ready() if self._generation == 1 else Reloaded())
        if self._reload and self.phase is Phase.SERVING:
            self._reload = False
            self.phase = Phase.LOADING
            actions.append(Load())
        return actions

    def _commit(self, worker: int) -> Send:
        self._states[worker] = State.COMMITTING
        return Send(worker, Message(Verb.COMMIT, self._generation))

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
        self.deadline = None
        self._generation += 1  # so answers about the candidate that arrive later are ignored
        self._loaded = False
        actions: list[Action] = [NotReloaded(reason)]
        for worker, state in self._states.items():
            if state is not State.ENDED:
                self._states[worker] = State.SERVING
                actions.append(Send(worker, message))
        return [*actions, Drop(), *self._advance(now)]

    def _drain(self, signal: int, pid: int, now: float) -> list[Action]:
        self.phase = Phase.DRAINING
        self.deadline = now + self._drain_s + GRACE_S
        # Unlisten comes first: a socket that only the master holds would take connections that
        # nobody accepts.
        actions = self._send_all(Message(Verb.DRAIN, signal=signal, pid=pid))
        return [Unlisten(), Drop(), *actions, *self._exit_if_all_ended()]

    def _give_up(self, status: int, reason: str) -> list[Action]:
        """End the start: no worker serves yet."""
        live = [each for each, state in self._states.items() if state is not State.ENDED]
        return [*(Kill(worker) for worker in live), Exit(status, reason)]

    def _exit_if_all_ended(self) -> list[Action]:
        return [Exit(self._status)] if self._all(State.ENDED) else []

    def _send_all(self, message: Message) -> list[Action]:
        return [
            Send(worker, message)
            for worker, state in self._states.items()
            if state is not State.ENDED
        ]


EXITED_0 = "exited with status 0"
"""How a worker ends when it was asked to end."""
