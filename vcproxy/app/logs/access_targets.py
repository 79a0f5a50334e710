"""AccessTargets: the files and log servers that access logs are written to.

Tested in tests/app/logs/test_access_targets.py and tests/e2e/test_access_log.py.
"""

from __future__ import annotations

import time
from collections.abc import Hashable
from pathlib import Path
from typing import TYPE_CHECKING

from vcproxy.app.logs.line_file import LineFile
from vcproxy.app.logs.line_writer import LineWriter
from vcproxy.config.log_target import SyslogServer
from vcproxy.config.tables.access_log import STDERR

if TYPE_CHECKING:
    from vcproxy.access_log.log import Sink
    from vcproxy.app.logs.log import LineLog

QUEUE = 4 << 20
"""Maximum bytes in the queue of a target: what 10,000 requests a second write in a second."""

EVERY_S = 0.05
"""How long lines are collected before they are written, in seconds: thousands of lines in one
write, and not longer than a person who follows the file can see."""


class AccessTargets:
    """See `vcproxy.access_log.log.AccessTargets`. Any thread may call its methods."""

    def __init__(self, log: LineLog) -> None:
        """`log`: the program's log, for what happens to the targets."""
        self._log = log
        self._writers: dict[Hashable, LineWriter] = {}
        self._closed = 0  # lines that targets dropped which are closed now

    def open(self, targets: frozenset[Hashable]) -> None:
        """Open those that are not open yet. Raises OSError with the target and the reason."""
        opened: dict[Hashable, LineWriter] = {}
        for target in targets:
            if target not in self._writers and target != STDERR:
                try:
                    writer = opened[target] = self._opened(target)
                    writer.start()  # a record is written while a connection closes: no time to fail
                except (OSError, RuntimeError, ValueError) as error:
                    for writer in opened.values():
                        writer.close()
                    reason = getattr(error, "strerror", None) or str(error)
                    raise OSError(f"cannot open the access log {target}: {reason}") from None
        self._writers |= opened

    def sink(self, target: Hashable) -> Sink:
        """Return what writes to a target that was opened."""
        return self._log.put if target == STDERR else self._writers[target].put

    def keep(self, targets: frozenset[Hashable]) -> None:
        """Close all others, after the lines they were given."""
        for target in [each for each in self._writers if each not in targets]:
            writer = self._writers.pop(target)
            writer.close(0)
            self._closed += writer.dropped

    def time_of_day(self) -> float:
        """Return the time in seconds since 1970, UTC."""
        return time.time()

    def reopen(self) -> None:
        """Reopen the files at their paths: they were moved away. Connect to servers again."""
        for writer in list(self._writers.values()):
            writer.reopen()

    def close(self) -> None:
        """Write the queued lines, within the time limit of LineWriter.close."""
        for target, writer in self._writers.items():
            unsent = writer.close()
            if unsent and not isinstance(target, Path):
                text = f"lines of the access log that were not sent to {target}: {unsent}"
                self._log("error", text)

    @property
    def dropped(self) -> int:
        """Lines that were dropped so far, by all targets since the start."""
        return self._closed + sum(each.dropped for each in list(self._writers.values()))

    def _opened(self, target: Hashable) -> LineWriter:
        def report(text: str) -> None:
            self._log("warning", f"access log {target}: {text}")

        if isinstance(target, Path):

            def broken(reason: str) -> None:
                text = f"cannot write the access log to {target}: {reason}"
                self._log("error", f"{text}; its lines are dropped and counted")

            return LineWriter(LineFile(target, broken), report=report, limit=QUEUE, every_s=EVERY_S)
        assert isinstance(target, SyslogServer)
        from vcproxy.app.logs.syslog_records import SyslogRecords  # imports ssl

        def unreachable(reason: str) -> None:
            text = f"cannot send the access log to {target}: {reason}; its lines wait, and are "
            self._log("error", f"{text}dropped and counted when there are too many")

        sender = SyslogRecords(target, unreachable)
        return LineWriter(sender, report=report, limit=QUEUE, every_s=EVERY_S)
