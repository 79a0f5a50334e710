"""ProcessSignals: passes the signals to this process to the sources that take them.

Handlers of Python are used, not signalfd(2): they need no thread to block the signals, so they work
whatever threads a process has started before. They do not report the sender.

Tested in tests/conformance/test_sources.py and tests/drivers/test_epoll_process_signals.py.
"""

from __future__ import annotations

import signal
import threading
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING

from vcproxy.engine.sources.signals import Signal, signal_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from vcproxy.engine.sources.signals import Signals


class ProcessSignals:
    """The Signals sources of all engines of this process.

    What handled a signal before is called too, unless it was the system's or Python's default.
    """

    def __init__(self) -> None:
        # Tuples are exchanged, never changed: a handler may run between any two steps.
        self._sources: dict[int, tuple[Signals, ...]] = {}
        self._before: dict[int, Callable[[int, FrameType | None], object] | int | None] = {}

    def open(self, source: Signals) -> None:
        """Take the signals of a source. On the main thread only: elsewhere it gets an error in the
        log, and no signals but those that are passed to `report`."""
        for number in source.numbers:
            others = self._sources.get(number, ())
            if not others and not self._install(number, source):
                continue
            self._sources[number] = (*others, source)

    def _install(self, number: int, source: Signals) -> bool:
        if threading.current_thread() is not threading.main_thread():
            why = "only programs and machines on the main thread can take signals"
        else:
            try:
                self._before[number] = signal.signal(number, self._handle)
            except (OSError, ValueError):
                why = "the system does not let a process take it"
            else:
                return True
        source.engine.log("error", f"{source.name}: {signal_name(number)} is not taken: {why}")
        return False

    def close(self, source: Signals) -> None:
        """Let the signals of a source have their previous effect, unless others take them."""
        for number in source.numbers:
            others = tuple(each for each in self._sources.get(number, ()) if each is not source)
            if others:
                self._sources[number] = others
            elif self._sources.pop(number, None) is not None:
                before = self._before.pop(number)
                if signal.getsignal(number) == self._handle:
                    signal.signal(number, signal.SIG_DFL if before is None else before)

    def report(self, received: Signal) -> None:
        """Pass a signal to the sources that take it. Any thread may call it, and a handler."""
        for source in self._sources.get(received.number, ()):
            engine = source.engine
            engine.inbox.feed(partial(engine.happened, source, received))

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.report(Signal(number))
        before = self._before.get(number)
        if callable(before) and before is not signal.default_int_handler:
            before(number, frame)


PROCESS_SIGNALS = ProcessSignals()
"""The one of this process: a signal has one handler."""


class TakenSignals:
    """What is opened for a Signals source."""

    def __init__(self, source: Signals) -> None:
        self._source = source
        PROCESS_SIGNALS.open(source)

    def set_watched(self, watched: bool) -> None:
        """See Opened. A disabled one still takes its signals: otherwise SIGTERM would end the
        process."""

    def close(self) -> None:
        """Let the signals have their previous effect."""
        PROCESS_SIGNALS.close(self._source)
