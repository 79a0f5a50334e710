"""Recording: the log of a running proxy, from the first call into its engine to the last.

Tested in tests/e2e/test_recording.py.
"""

from __future__ import annotations

import os
import platform
import random
import re
import sys
from contextlib import contextmanager, suppress
from importlib.metadata import version
from itertools import count
from typing import TYPE_CHECKING

from vcproxy.replay.format.entries import ChangedEntry, ServeEntry, SignalledEntry, StoppedEntry
from vcproxy.replay.format.header import Header
from vcproxy.replay.format.writer import Writer
from vcproxy.replay.hosts import RecordedHost
from vcproxy.replay.record.hidden_secrets import (
    patterns,
    sources_without_secrets,
    text_without_secrets,
)
from vcproxy.replay.record.recorder import RecordingEngine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from vcproxy.config.loader import Configuration
    from vcproxy.config.tables.process import RecordTable
    from vcproxy.engine.log_function import LogFunction
    from vcproxy.listeners.hosts import Host
    from vcproxy.sessions.program import Signal

FLUSH_S = 0.25
"""How often the log is written to its file while no plugin runs. When the process is killed, the
tunnel traffic of this time is missing in the log."""

HASH_SEED = "PYTHONHASHSEED"


def with_hash_seed(seed: str | None = None) -> None:
    """Make Python use this hash seed for strings (None: any fixed seed).

    Python sets the seed at startup: if it must change, the program is executed again.
    """
    now = os.environ.get(HASH_SEED, "random")
    if seed != now and (seed is not None or now == "random"):
        chosen = seed or str(random.SystemRandom().randrange(1, 1 << 32))
        environment = {**os.environ, HASH_SEED: chosen}
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)


class Recording:
    """The recorded parts of a proxy: its engine and its host."""

    def __init__(
        self,
        configuration: Configuration,
        record: RecordTable,
        log: LogFunction,
        seed: int | None = None,
    ) -> None:
        """Create a log with the first free name: FILE, FILE.1, FILE.2 and so on.

        `seed`: of the engine's random numbers; None: a random one. Raises OSError.
        """
        if seed is None:
            seed = random.SystemRandom().getrandbits(64)
        hidden = patterns(configuration)
        redact = [*(re.compile(each.encode()) for each in record.redact), *hidden]
        header = Header(
            python=platform.python_version(),
            vcproxy=version("vcproxy"),
            hash_seed=os.environ.get(HASH_SEED, "random"),
            seed=seed,
            file=str(configuration.file.absolute()),
            configuration=text_without_secrets(configuration),
            sources=sources_without_secrets(configuration),
            outputs=record.outputs,
            compress=record.compress,
            marks=("redacted",) if redact else (),
        )

        def ended(reason: str) -> None:
            log("warning", f"{reason}; the proxy continues without recording")

        self.writer = _fresh(record, header, ended)
        if self.writer.path != record.file:
            log("info", f"{record.file} exists and is kept: recording to {self.writer.path}")
        self.engine = RecordingEngine(
            "net-0",
            self.writer,
            memory=configuration.settings.proxy.memory,
            seed=seed,
            log=log,
            full=record.outputs == "full",
            redact=redact,
            token=header.token,
        )
        self._first: Configuration | None = configuration

    def host(self, host: Host) -> RecordedHost:
        """Return a host that records the results of the driver's host."""
        self._host = RecordedHost(host)
        return self._host

    @contextmanager
    def serving(self, configuration: Configuration) -> Iterator[None]:
        """Record a configuration that is applied within the context, and the host's answers."""
        first = configuration is self._first
        self._first = None
        text = None if first else text_without_secrets(configuration)
        self.engine.redact_also(patterns(configuration))
        sources = None if first else sources_without_secrets(configuration)
        try:
            yield
        finally:
            self.engine.record(ServeEntry(text, sources, self._host.take_answers()))

    def signalled(self, signal: Signal) -> None:
        """Record a signal, before programs are notified of it."""
        self.engine.record(SignalledEntry(signal.number, signal.pid))
        self.engine.write_ahead()

    def changed(self, name: str, arguments: Mapping[str, str]) -> None:
        """Record a change of an operator, before it is made."""
        self.engine.record(ChangedEntry(name, dict(arguments)))
        self.engine.write_ahead()

    def close(self, orderly: bool) -> None:
        """Close the log. `orderly`: the run has ended without an error."""
        if orderly:
            self.engine.record(StoppedEntry())
        self.writer.close()


def _fresh(record: RecordTable, header: Header, ended: Callable[[str], None]) -> Writer:
    """Create a log with a free name, so that a restart keeps the recording of the previous run."""
    for number in count():
        path = record.file.with_name(f"{record.file.name}.{number}") if number else record.file
        with suppress(FileExistsError):
            return Writer(path, header, most=record.max_size, ended=ended)
    raise AssertionError
