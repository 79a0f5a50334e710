"""Replay: a recorded run repeated from its log alone, without network, files or clock.

Tested in tests/e2e/test_recording.py and tests/replay/log/test_round_trip.py.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from vcproxy.config.errors import ConfigError
from vcproxy.config.loader import Recorded, load
from vcproxy.engine.address import Address
from vcproxy.engine.listener import Listener
from vcproxy.listeners.listeners import Listeners
from vcproxy.machine.trace import Trace, unknown_machine
from vcproxy.output_files import Exists, written
from vcproxy.replay.format.entries import ChangedEntry, Listening, ServeEntry, SignalledEntry
from vcproxy.replay.format.reader import LogError, RecordingLog
from vcproxy.replay.format.values import FailureValue
from vcproxy.replay.format.writer import Writer
from vcproxy.replay.hosts import OfflineHost
from vcproxy.replay.playback.divergence import Divergence
from vcproxy.replay.playback.engine import FrameComparison, ReplayEngine
from vcproxy.replay.playback.progress import LogProgress
from vcproxy.replay.playback.replay_driver import ReplayDriver
from vcproxy.sessions.program import Signal

if TYPE_CHECKING:
    from vcproxy.config.loader import Configuration
    from vcproxy.engine.log_function import Level

__all__ = ["Divergence", "LogError", "RecordingLog", "Replay", "replay"]


class ReplayHost(OfflineHost):
    """A host that gives the recorded answers. See Host."""

    def __init__(self) -> None:
        self.answers: Iterator[Listening] = iter(())
        self.given: list[Listening] = []

    def listen(self, address: Address, listener: Listener) -> Address:
        """See Host."""
        answer = next(self.answers, None)
        if answer is None:
            raise LookupError(f"listens at {address}, which was not recorded")
        number: int = listener.number  # type: ignore[attr-defined]
        real = answer[3]
        self.given.append((number, listener.name, str(address), real))
        if isinstance(real, FailureValue):
            raise real.to_exception()
        return Address.parse(real)


class Replay:
    """A log, and a proxy that repeats the recorded run. `step` makes the next driver call."""

    kind: ClassVar[type[ReplayEngine]] = ReplayEngine
    """The class of its engine."""

    def __init__(self, path: Path, *, breaks: str = "", copy: Path | None = None) -> None:
        """Read the beginning of the log. Raises LogError; OSError if `copy` cannot be written.

        `breaks`: the key of the events before which the debugger is started. `copy`: the file to
        record the replay to.
        """
        self.log = RecordingLog(path)
        header = self.log.header
        if "cut" in header.marks:
            raise LogError(
                f"{path}: the log is cut: parts are missing, so it cannot be replayed as recorded; "
                "compare it with a plugin: --plugin NAME"
            )
        self._file = Path(header.file)
        self._copy = None if copy is None else Writer(copy, header)
        frames = FrameComparison(self._copy)
        self.engine = self.kind(
            "net-0",
            frames,
            memory=self._configuration(header.configuration, header.sources).settings.proxy.memory,
            seed=header.seed,
            log=_ignore_log,
            full=header.outputs == "full",
            token=header.token,
        )
        self.engine.breaks = breaks
        self._host = ReplayHost()
        self._listeners = Listeners(self._host, [self.engine], _ignore_line)
        self._driver = ReplayDriver(self.log, self.engine, frames, self)
        self.step: Callable[[], bool] = self._driver.step
        """Make the next recorded call; False at the end. Raises Divergence, LogError."""

    @property
    def done(self) -> int:
        """The number of the last step."""
        return self._driver.done

    @property
    def offset(self) -> int:
        """The offset in the log of the frame of the last step, in bytes."""
        return self._driver.offset

    def close(self) -> None:
        """Close the recording of the replay, if there is one."""
        if self._copy is not None:
            self._copy.close()

    # -- for the replay driver ---------------------------------------------------------------

    def serve(self, entry: ServeEntry) -> ServeEntry:
        """Apply a recorded configuration; return the entry with the answers given now."""
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
            pass  # the failure was recorded too, in the answers
        return entry._replace(listening=tuple(self._host.given))

    def signalled(self, entry: SignalledEntry) -> None:
        """Notify programs of a recorded signal."""
        self._listeners.signalled(Signal(entry.number, entry.pid))

    def changed(self, entry: ChangedEntry) -> None:
        """Make a recorded change."""
        from vcproxy.control.changes.change import applied  # few recordings have any
        from vcproxy.control.changes.table import CHANGES

        assert isinstance(entry.arguments, dict)
        applied(CHANGES[entry.name], self.engine, self._listeners, entry.arguments)

    def _configuration(self, text: str, sources: object) -> Configuration:
        assert isinstance(sources, dict)
        try:
            return load(self._file, Recorded(text, sources))
        except ConfigError as error:
            raise LogError(
                f"{self.log.path}: the recorded configuration does not load:\n{error}"
            ) from None


def differences(log: RecordingLog) -> list[str]:
    """Return as text which versions differ from the recording. The replay may then differ."""
    header = log.header
    now = {
        "Python": (header.python, platform.python_version()),
        "vcproxy": (header.vcproxy, version("vcproxy")),
    }
    return [
        f"recorded with {what} {then}, replayed with {here}: the run may differ"
        for what, (then, here) in now.items()
        if then != here
    ]


def replay(
    path: Path,
    *,
    until: int = 0,
    trace: str = "",
    breaks: str = "",
    copy: Path | None = None,
    force: bool = False,
) -> str:
    """Replay a log to its end, or until a step; return a summary.

    `trace`: the machines whose events are printed. `copy`: where to record the replay to; `force`:
    overwrite an existing file. A replay that fails leaves no recording. Raises LogError,
    Divergence.
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
    progress = LogProgress(run)
    tracer = Trace(lambda received: print(f"step {run.done}: {received}"), trace)
    try:
        with tracer if trace else nullcontext():
            while (not until or run.done < until) and run.step():
                if not run.done % LogProgress.EVERY:
                    progress.show()
    finally:
        progress.clear()
        run.close()
    if trace and not tracer.written:
        why = unknown_machine(trace) or f"no {trace} has received anything"
        print(f"{path}: --trace {trace}: {why}", file=sys.stderr)
    truncated = "; the last turn is incomplete and was ignored" if run.log.truncated else ""
    redacted = "; redacted: outputs were not compared" if "redacted" in run.log.header.marks else ""
    return f"{path}: {run.done} steps, all as recorded{redacted}{truncated}"


def _ignore_log(level: Level, text: str, error: Exception | None = None) -> None:
    """Ignore log lines: they are not part of the replay."""


def _ignore_line(line: str) -> None:
    """Ignore what programs print: it is not part of the replay."""
