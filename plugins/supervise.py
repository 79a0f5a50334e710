"""supervise: run programs beside the proxy, and start them again when they end.

[[listener.options.children]]
name = "cache"
command = ["/usr/bin/redis-server", "--port", "6380"]
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from vcproxy.api import (
    ChildContinued,
    ChildExited,
    ChildKilled,
    ChildProcess,
    ChildSpec,
    ChildStopped,
    Counter,
    Duration,
    FilePath,
    Intensity,
    Launch,
    Launched,
    LaunchFailed,
    Program,
    ProgramCommand,
    Restart,
    Service,
    Signal,
    Strategy,
    Supervision,
    Supervisor,
    signal_name,
    stop_proxy,
)

FAILED = 3
"""The exit status of the proxy with on_failure = "stop", as when its workers fail too often."""

SIGKILL = 9
STOP_SIGNALS = {"HUP": 1, "INT": 2, "QUIT": 3, "USR1": 10, "USR2": 12, "TERM": 15}
"""The numbers of Linux."""


@dataclass(frozen=True, slots=True)
class ChildOptions:
    """A program, and how it is supervised."""

    name: Annotated[str, Field(min_length=1)]
    """Its name in the log, unique in this list."""
    command: ProgramCommand
    """The path of the program and its arguments. No shell reads it, and PATH is not searched."""
    directory: FilePath | None = None
    """Its working directory. Default: that of the proxy."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables that are added to the environment of the proxy."""
    output: FilePath | None = None
    """The file to which its output is appended. Default: the standard error of the proxy."""
    user: str = ""
    """The user as whom it runs, which only root may choose. Default: the user of the proxy."""
    restart: Restart = Restart.PERMANENT
    """When it is started again after its end. "permanent": always. "transient": unless it exits
    with status 0 or is ended by its `stop_signal`. "temporary": never. "raise": never, and unless
    its end was one of these two, all others are stopped, and `on_failure` follows."""
    stop_signal: Literal["TERM", "INT", "QUIT", "HUP", "USR1", "USR2"] = "TERM"
    """The signal that asks it to end. Some programs finish what they have begun only for another
    one, as nginx for QUIT."""
    shutdown: Duration = 5.0
    """The time it then has to end, before it is killed. "0s": it is killed at once."""


def _checked(children: tuple[ChildOptions, ...]) -> tuple[ChildOptions, ...]:
    if not children:
        raise ValueError("must name at least one program: write [[listener.options.children]]")
    names = [child.name for child in children]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f'two children are named "{name}": choose different names')
    return children


@dataclass(frozen=True, slots=True)
class Options:
    """The programs, in the order of their starts, and what their failures lead to."""

    children: Annotated[tuple[ChildOptions, ...], AfterValidator(_checked)]
    """The programs. They start in this order and end in the reverse order."""
    strategy: Strategy = Strategy.ONE_FOR_ONE
    """Which of them are started again when one has failed. "one_for_one": that one. "rest_for_one":
    it and those after it. "one_for_all": all."""
    intensity: Annotated[int, Field(ge=0)] = 5
    """How many restarts within `period` are allowed. One more is a failure of all: they are
    stopped, and `on_failure` follows."""
    period: Annotated[Duration, Field(gt=0)] = 10.0
    """See `intensity`."""
    on_failure: Literal["log", "stop"] = "log"
    """What follows then. "log": the proxy goes on without these programs. "stop": the proxy drains
    and ends with status 3, so that its service manager starts it again."""


class Supervise(Program):
    """Runs the programs under one supervisor."""

    Options = Options
    needs_upstream = False
    one_worker = "each supervised program runs once"
    started = Counter("supervised_starts", "Starts of a supervised program.", labels=("child",))

    @classmethod
    def needs_bind(cls, options: Any) -> bool:
        """See Program: it has no clients."""
        return False

    def __init__(self, engine: Any, service: Service, write: Callable[[str], None]) -> None:
        super().__init__(engine, service, write)
        options: Options = self.options
        self._launches = {child.name: _launch(child) for child in options.children}
        self._stop_signals = {
            child.name: STOP_SIGNALS[child.stop_signal] for child in options.children
        }
        self._processes: dict[str, ChildProcess] = {}
        self._pids: dict[str, int] = {}
        self._signalled = False
        self._starts = dict.fromkeys(self._launches, 0)
        specs = [
            ChildSpec(child.name, child.restart, shutdown_s=child.shutdown)
            for child in options.children
        ]
        intensity = Intensity(options.intensity, options.period)
        supervisor = Supervisor(specs, options.strategy, intensity, engine.random)
        self._supervision = Supervision(engine, self.mutex, supervisor, self, service.name)

    def start(self) -> None:
        """Start the programs."""
        self._supervision.start()

    def stop(self) -> None:
        """End the programs in order, also those that would not end: the listener was removed."""
        self._supervision.stop()

    def status(self) -> dict[str, dict[str, object]]:
        """Return what each program does, its pid while it runs, and how often it was started."""
        return {
            name: {
                "state": self._supervision.life(name).name.lower(),
                "pid": self._pids.get(name),
                "starts": starts,
            }
            for name, starts in self._starts.items()
        }

    def handle_event(self, key: Hashable, data: object) -> None:
        """Handle what happens to a program, and the signals that end the proxy."""
        match data:
            case Signal() if self._signalled:
                self._supervision.kill()
            case Signal():
                self._signalled = True
                self._supervision.stop()
            case Launched(name, pid):
                self._pids[name] = pid
                self.log(f"child {name} runs as process {pid}")
                self._supervision.started(name)
            case ChildExited(name, status):
                self._gone(name, status == 0, data.text)
            case ChildKilled(name, signal):
                self._gone(name, signal == self._stop_signals[name], data.text)
            case LaunchFailed(name):
                self._gone(name, False, data.text)
            case ChildStopped(name, signal):
                self.log(f"child {name} was stopped by {signal_name(signal)}", "warning")
            case ChildContinued(name):
                self.log(f"child {name} was continued by SIGCONT")

    def _gone(self, name: str, orderly: bool, text: str) -> None:
        del self._processes[name]
        self._pids.pop(name, None)
        self._supervision.ended(name, orderly, text)

    # -- what the supervisor decides: see ChildControl -------------------------------------------

    def start_child(self, name: str) -> None:
        """Launch a program."""
        self._starts[name] += 1
        self.started.add(child=name)
        self._processes[name] = ChildProcess(self, name, self._launches[name])

    def stop_child(self, name: str) -> None:
        """Ask a program to end."""
        self._processes[name].signal(self._stop_signals[name])

    def kill_child(self, name: str) -> None:
        """Kill a program."""
        self._processes[name].signal(SIGKILL)

    def supervision_ended(self, failure: str) -> None:
        """End this program; if it has failed, as the option `on_failure` requires."""
        super().stop()
        if failure and self.options.on_failure == "stop":
            self.log("all children have ended; the proxy stops", "error")
            stop_proxy(self.engine, FAILED)
        elif failure:
            self.log("all children have ended; the proxy goes on without them", "error")


def _launch(child: ChildOptions) -> Launch:
    return Launch(
        child.command[0],
        child.command,
        directory="" if child.directory is None else str(child.directory),
        environment=dict(child.environment),
        output="" if child.output is None else str(child.output),
        user=child.user,
    )
