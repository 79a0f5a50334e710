"""Replay: a recorded run, run again from its log alone: no network, no files, no clock."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol

from vcproxy.config.errors import ConfigError
from vcproxy.config.loader import Recorded, load
from vcproxy.engine.address import Address
from vcproxy.engine.listener import Listener
from vcproxy.listeners.listeners import Listeners
from vcproxy.machine.trace import Trace, unknown_machine
from vcproxy.output import Exists, written
from vcproxy.replay.format.entries import Listening, ServeEntry, SignalledEntry
from vcproxy.replay.format.reader import LogError, RecordingLog
from vcproxy.replay.format.values import FailureValue
from vcproxy.replay.format.writer import Writer
from vcproxy.replay.hosts import Unconnected
from vcproxy.replay.playback.replayer import CommandComparison, Divergence, ReplayEngine, Replayer
from vcproxy.sessions.program import Signal

if TYPE_CHECKING:
    from vcproxy.config.loader import Configuration
    from vcproxy.engine.log_function import Level

__all__ = ["Divergence", "LogError", "RecordingLog", "Replay", "replay"]


class ReplayHost(Unconnected):
    """Answers as the host did that was recorded. See Host."""

    def __init__(self) -> None:
        self.answers: Iterator[Listening] = iter(())
        self.given: list[Listening] = []

    def listen(self, address: Address, listener: Listener) -> Address:
        """See Host."""
        answer = next(self.answers, None)
        if answer is None:
            raise LookupError(f"it listens at {address}")
        number: int = listener.number  # type: ignore[attr-defined]
        real = answer[3]
        self.given.append((number, listener.name, str(address), real))
        if isinstance(real, FailureValue):
            raise real.raised()
        return Address.parse(real)


class Replay:
    """A log, and the proxy that it tells of. `step` is all that can be done with it."""

    kind: ClassVar[type[ReplayEngine]] = ReplayEngine
    """Of its engine."""

    def __init__(self, path: Path, *, breaks: str = "", copy: Path | None = None) -> None:
        """Read the log's beginning. Raises LogError; OSError where it cannot record.

        `breaks`: the key of the events before which the debugger is called. `copy`: where to
        record the replay to.
        """
        self.log = RecordingLog(path)
        header = self.log.header
        if "cut" in header.marks:
            raise LogError(
                f"{path}: parts of it were cut out, so it cannot be replayed as it was; "
                "replay it with --plugin"
            )
        self._file = Path(header.file)
        self._copy = None if copy is None else Writer(copy, header)
        sheet = CommandComparison(self._copy)
        self.engine = self.kind(
            "net-0",
            sheet,
            memory=self._configuration(header.configuration, header.sources).settings.proxy.memory,
            seed=header.seed,
            log=_silent,
            full=header.outputs == "full",
            token=header.token,
        )
        self.engine.breaks = breaks
        self._host = ReplayHost()
        self._listeners = Listeners(self._host, [self.engine], _unwritten)
        self._replayer = Replayer(self.log, self.engine, sheet, self)
        self.step: Callable[[], bool] = self._replayer.step
        """Make the next call that was recorded; False at the end. Raises Divergence, LogError."""

    @property
    def done(self) -> int:
        """The number of the last step."""
        return self._replayer.done

    @property
    def offset(self) -> int:
        """Where in the log that was, in bytes."""
        return self._replayer.offset

    def close(self) -> None:
        """End the recording of the replay, if there is one."""
        if self._copy is not None:
            self._copy.close()

    # -- what the replayer calls -------------------------------------------------------------

    def serve(self, entry: ServeEntry) -> ServeEntry:
        """Apply a configuration as it was applied."""
        header = self.log.header
        configuration = (
            self._configuration(header.configuration, header.sources)
            if entry.configuration is None or entry.sources is None
            else self._configuration(entry.configuration, entry.sources)
        )
        self._host.answers = iter(entry.listening)
        self._host.given = []
        try:
            self._listeners.apply(configuration)
        except OSError:
            pass  # as it was: what was answered says so
        return entry._replace(listening=tuple(self._host.given))

    def signalled(self, entry: SignalledEntry) -> None:
        """Tell programs of a signal."""
        self._listeners.signalled(Signal(entry.number, entry.pid))

    def _configuration(self, text: str, sources: object) -> Configuration:
        assert isinstance(sources, dict)
        try:
            return load(self._file, Recorded(text, sources))
        except ConfigError as error:
            raise LogError(f"{self.log.path}: its configuration does not load:\n{error}") from None


def differences(log: RecordingLog) -> list[str]:
    """What is not as it was when a log was recorded, in words: a replay may part from it."""
    header = log.header
    now = {
        "Python": (header.python, platform.python_version()),
        "vcproxy": (header.vcproxy, version("vcproxy")),
    }
    return [
        f"it was recorded with {what} {then}, and this is {here}"
        for what, (then, here) in now.items()
        if then != here
    ]


class Reading(Protocol):
    """Something that reads a log from its beginning."""

    @property
    def log(self) -> RecordingLog:
        """Which."""

    @property
    def done(self) -> int:
        """The number of the last step."""

    @property
    def offset(self) -> int:
        """Where in the log that was, in bytes."""


class Gauge:
    """How far something has come, on a terminal."""

    WIDTH = 30

    def __init__(self) -> None:
        self._shown = sys.stderr.isatty()

    def draw(self, part: float, text: str = "") -> None:
        """Draw it anew, with this part of it done, 0 to 1."""
        if self._shown:
            bar = "#" * int(self.WIDTH * part)
            sys.stderr.write(f"\r\033[K[{bar:<{self.WIDTH}}] {text}")
            sys.stderr.flush()

    def clear(self) -> None:
        """Leave the line as if nothing had been there."""
        if self._shown:
            sys.stderr.write("\r\033[K")


class Bar(Gauge):
    """How far the reading of a log has come."""

    EVERY = 1000
    """Steps between two looks: a replay takes some microseconds for each."""

    def __init__(self, reading: Reading) -> None:
        super().__init__()
        self._reading = reading

    def show(self) -> None:
        """Draw it anew."""
        reading = self._reading
        self.draw(reading.offset / max(reading.log.size, 1), f"step {reading.done}")


def replay(
    path: Path,
    *,
    until: int = 0,
    trace: str = "",
    breaks: str = "",
    copy: Path | None = None,
    force: bool = False,
) -> str:
    """Replay a log to its end, or until a step; return what there is to say of it.

    `trace`: the machines whose events are printed. `copy`: where to record the replay to; `force`:
    also where that exists. A replay that fails leaves no recording. Raises LogError, Divergence.
    """
    if copy is None:
        return _replay(Replay(path, breaks=breaks), until, trace)
    try:
        with written(copy, force) as new:
            return _replay(Replay(path, breaks=breaks, copy=new), until, trace)
    except Exists as error:
        raise LogError(str(error)) from None
    except OSError as error:
        raise LogError(f"cannot record to {copy}: {error.strerror}") from None


def _replay(run: Replay, until: int, trace: str) -> str:
    path = run.log.path
    for difference in differences(run.log):
        print(f"{path}: {difference}", file=sys.stderr)
    bar = Bar(run)
    told = Trace(lambda received: print(f"step {run.done}: {received}"), trace)
    try:
        with told if trace else nullcontext():
            while (not until or run.done < until) and run.step():
                if not run.done % Bar.EVERY:
                    bar.show()
    finally:
        bar.clear()
        run.close()
    if trace and not told.told:
        why = unknown_machine(trace) or f"no {trace} has received anything"
        print(f"{path}: --trace {trace}: {why}", file=sys.stderr)
    ended = "; its last turn was never finished" if run.log.truncated else ""
    blind = "; redacted: outputs were not compared" if "redacted" in run.log.header.marks else ""
    return f"{path}: {run.done} steps, all as recorded{blind}{ended}"


def _silent(level: Level, text: str, error: Exception | None = None) -> None:
    """What the log said is no part of the replay."""


def _unwritten(line: str) -> None:
    """What programs print is no part of it either."""
