"""Recording: a running proxy's log, from its first call into the engine to its last."""

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

from vcproxy.replay.format.entries import ServeEntry, SignalledEntry, StoppedEntry
from vcproxy.replay.format.header import Header
from vcproxy.replay.format.writer import Writer
from vcproxy.replay.hosts import RecordedHost
from vcproxy.replay.record.recorder import RecordingEngine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from vcproxy.config.loader import Configuration
    from vcproxy.config.schema import RecordTable
    from vcproxy.engine.log_function import LogFunction
    from vcproxy.listeners.hosts import Host
    from vcproxy.sessions.program import Signal

FLUSH_S = 0.25
"""How often the log goes to its file where no plugin runs: what moved in a tunnel in that time is
lost when the process is killed."""

HASH_SEED = "PYTHONHASHSEED"


def with_hash_seed(seed: str | None = None) -> None:
    """Have the hashes of text be those of a seed (None: of any that is known).

    That is settled when Python starts: where it is another one, the program begins anew.
    """
    now = os.environ.get(HASH_SEED, "random")
    if seed != now and (seed is not None or now == "random"):
        chosen = seed or str(random.SystemRandom().randrange(1, 1 << 32))
        environment = {**os.environ, HASH_SEED: chosen}
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)


class Recording:
    """What a proxy is made of that is recorded: its engine, and where it listens."""

    def __init__(
        self,
        configuration: Configuration,
        record: RecordTable,
        log: LogFunction,
        seed: int | None = None,
    ) -> None:
        """Begin a log, of the first name that is free: FILE, FILE.1, FILE.2 and so on.

        `seed` is of the engine's random numbers. Raises OSError.
        """
        if seed is None:
            seed = random.SystemRandom().getrandbits(64)
        patterns = [re.compile(each.encode()) for each in record.redact]
        header = Header(
            python=platform.python_version(),
            vcproxy=version("vcproxy"),
            hash_seed=os.environ.get(HASH_SEED, "random"),
            seed=seed,
            file=str(configuration.file.absolute()),
            configuration=configuration.text,
            sources=configuration.sources,
            outputs=record.outputs,
            compress=record.compress,
            marks=("redacted",) if record.redact else (),
        )

        def ended(reason: str) -> None:
            log("warning", f"{reason}; the proxy goes on, unrecorded")

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
            redact=patterns,
            token=header.token,
        )
        self._first: Configuration | None = configuration

    def host(self, host: Host) -> RecordedHost:
        """Where it listens: a host by a driver of its engine."""
        self._host = RecordedHost(host)
        return self._host

    @contextmanager
    def serving(self, configuration: Configuration) -> Iterator[None]:
        """A configuration is about to be applied: note it, with what comes of it."""
        first = configuration is self._first
        self._first = None
        text = None if first else configuration.text
        sources = None if first else dict(configuration.sources)
        try:
            yield
        finally:
            self.engine.note(ServeEntry(text, sources, self._host.answers()))

    def signalled(self, signal: Signal) -> None:
        """Programs are about to hear of a signal."""
        self.engine.note(SignalledEntry(signal.number, signal.pid))
        self.engine.write_ahead()

    def close(self, orderly: bool) -> None:
        """End the log."""
        if orderly:
            self.engine.note(StoppedEntry())
        self.writer.close()


def _fresh(record: RecordTable, header: Header, ended: Callable[[str], None]) -> Writer:
    """Begin a log beside those that exist: a restart keeps the recording of the run before."""
    for number in count():
        path = record.file.with_name(f"{record.file.name}.{number}") if number else record.file
        with suppress(FileExistsError):
            return Writer(path, header, most=record.max_size, ended=ended)
    raise AssertionError
