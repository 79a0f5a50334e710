"""ChildProcess: a child process, as a source of events.

The driver starts the program, watches it, and reaps it. Only this child gets the signals of
`signal()`, never another process that has got its pid later.

Tested in tests/engine/sources/test_source.py.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from vcproxy.engine.address import CHILD, Address
from vcproxy.engine.commands import SignalChild
from vcproxy.engine.sources.signals import signal_name
from vcproxy.engine.sources.source import PRIORITY, Source

if TYPE_CHECKING:
    from vcproxy.engine.continuation import Continuation
    from vcproxy.engine.net import NetVConnection

PIPE = "pipe"
"""For `Launch.stdin`, `stdout` and `stderr`: a pipe, which is a VC of the parent."""

STREAMS = ("stdin", "stdout", "stderr")

LARGEST_SIGNAL = 64
"""Linux: SIGRTMAX."""


def number_of(address: Address) -> int:
    """Return the number of the source in the address of a pipe, as child:3/stdin."""
    return int(address.path.partition("/")[0])


def stream_of(address: Address) -> str:
    """Return its stream, one of STREAMS."""
    return address.path.partition("/")[2]


@dataclass(frozen=True, slots=True)
class Launch:
    """What to execute, and how. It has a process group of its own, so that a terminal sends it no
    signals."""

    executable: str
    """The path of the program: it is not searched in PATH. Relative to the working directory of
    this process."""
    arguments: tuple[str, ...]
    """argv, from argv[0] on, which is usually the name of the program."""
    directory: str = ""
    """Its working directory; "": that of this process."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Environment variables that are added to those of this process. For a program without those
    execute /usr/bin/env -i."""
    output: str = ""
    """The file to which its standard output and error are appended; "": those of this process."""
    descriptors: tuple[int, ...] = ()
    """Descriptors of this process that it gets, with the same numbers. They must stay open until
    Launched or LaunchFailed."""
    user: str = ""
    """The name of the user as whom it runs, with the user's groups; "": that of this process."""
    stdin: str = ""
    """PIPE: see ChildProcess; "": its standard input is empty (/dev/null)."""
    stdout: str = ""
    """PIPE; "": as `output` says."""
    stderr: str = ""
    """PIPE; "": as `output` says."""

    def __post_init__(self) -> None:
        """Raise ValueError without arguments: argv[0] is the least; or for streams that are neither
        "" nor PIPE, or an `output` that nothing is written to."""
        if not self.arguments:
            raise ValueError(f"{self.executable}: arguments must not be empty: begin with argv[0]")
        for stream in STREAMS:
            if getattr(self, stream) not in ("", PIPE):
                raise ValueError(f'{self.executable}: {stream} must be PIPE or ""')
        if self.output and self.stdout and self.stderr:
            raise ValueError(f"{self.executable}: nothing is written to output={self.output}")

    @property
    def pipes(self) -> tuple[str, ...]:
        """The streams that are pipes."""
        return tuple(stream for stream in STREAMS if getattr(self, stream))


@dataclass(frozen=True, slots=True)
class Launched:
    """The program runs: it was executed without an error."""

    name: str
    pid: int


@dataclass(frozen=True, slots=True)
class LaunchFailed:
    """The program could not be executed. The last event."""

    name: str
    reason: str
    """What is wrong, with the path, in plain words."""

    @property
    def text(self) -> str:
        """In words that continue the name of the child, as for the events below."""
        return f"cannot be started: {self.reason}"


@dataclass(frozen=True, slots=True)
class ChildExited:
    """The process has ended by itself. The last event. What it has left in its process group is
    killed."""

    name: str
    status: int
    """0 to 255; 0 means success."""

    @property
    def text(self) -> str:
        """The end in words."""
        return f"exited with status {self.status}"


@dataclass(frozen=True, slots=True)
class ChildKilled:
    """A signal has ended the process. The last event."""

    name: str
    signal: int

    @property
    def text(self) -> str:
        """The end in words."""
        return f"was killed by {signal_name(self.signal)}"


@dataclass(frozen=True, slots=True)
class ChildStopped:
    """A signal (SIGSTOP, SIGTSTP) has stopped the process; it may be continued."""

    name: str
    signal: int


@dataclass(frozen=True, slots=True)
class ChildContinued:
    """The process runs again, by SIGCONT. Missing if it has ended before this was seen."""

    name: str


_CHANGES = ChildStopped, ChildContinued


class ChildProcess(Source):
    """A child process.

    Events: Launched, then any number of ChildStopped and ChildContinued, then ChildExited or
    ChildKilled; or LaunchFailed alone. `close()` before the end kills it and its process group
    (SIGKILL), so that nothing is left when its conversation fails; for an orderly end send SIGTERM
    and wait for the event.

    For each PIPE of its Launch it has a VC, from the beginning: `stdin` to write to, `stdout` and
    `stderr` to read from. The continuation gets CONNECTED with each of them after Launched, or
    ERROR after LaunchFailed; reads and writes may begin before. They are connections as all others:
    the child reads the end when `stdin` is shut down or closed, what it has written can be read
    after its last event, and each must be closed. What is not read stops the child in the end.

    While it is disabled, it is reaped as otherwise, and of ChildStopped and ChildContinued only the
    last is kept.
    """

    __slots__ = ("launch", "stderr", "stdin", "stdout")

    last: ClassVar[tuple[type, ...]] = (LaunchFailed, ChildExited, ChildKilled)
    delays_stop: ClassVar[bool] = True

    def __init__(
        self, cont: Continuation, name: str, launch: Launch, priority: int = PRIORITY
    ) -> None:
        self.launch = launch
        super().__init__(cont, name, priority)
        self.stdin = self._pipe(cont, "stdin")
        self.stdout = self._pipe(cont, "stdout")
        self.stderr = self._pipe(cont, "stderr")

    def _pipe(self, cont: Continuation, stream: str) -> NetVConnection | None:
        """Return the VC of a stream that is a pipe; None: it is not."""
        if stream not in self.launch.pipes:
            return None
        outgoing = self.engine.outgoing(cont, "")
        outgoing.start(Address(CHILD, path=f"{self.number}/{stream}"))
        outgoing.vc.name = f"{self.name} {stream}"
        return outgoing.vc

    @property
    def request(self) -> str:
        """See Source. Without the descriptors, whose numbers differ from run to run."""
        launch = self.launch
        parts = launch.executable, launch.arguments, launch.directory, dict(launch.environment)
        files = f"{launch.output} {launch.user} {' '.join(launch.pipes)}"
        return f"{super().request} {parts} {files}".rstrip()

    @property
    def detail(self) -> str:
        """See Source."""
        return self.launch.executable

    def keep(self, key: Hashable, event: object) -> None:
        """See Source. Of stops and continuations only the last is kept."""
        if isinstance(event, _CHANGES):
            self._kept = [each for each in self._kept if not isinstance(each[1], _CHANGES)]
        super().keep(key, event)

    def signal(self, number: int) -> None:
        """Send a signal; a child that is being launched gets it afterwards, one that has ended
        never. Raises ValueError for a number that is no signal."""
        if not 1 <= number <= LARGEST_SIGNAL:
            raise ValueError(f"{number} is no signal: they are 1 to {LARGEST_SIGNAL}")
        if self.cont is not None:
            self.engine.command(SignalChild(self, int(number)))
