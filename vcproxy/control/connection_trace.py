"""ConnectionTrace: the events of one connection, as its machines receive them.

While a trace goes on, all machines of the process take a little longer for each event, and HTTP
requests take the ordinary path. So there are few at a time. Tested in
tests/control/test_connection_trace.py.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from vcproxy.control.changes.kill import connections_named
from vcproxy.machine.state import label
from vcproxy.machine.trace import Trace

if TYPE_CHECKING:
    from vcproxy.control.questions.running import Running
    from vcproxy.engine.net import NetVConnection
    from vcproxy.machine.machine import HistoryEntry, Machine

Events: TypeAlias = Callable[[Sequence[Mapping[str, Any]]], None]
"""Called with no event when the trace begins, then with some. Each has "at", the seconds since the
trace began; "machine", "state", "event" and "source"; "bytes_in" and "bytes_out", which were read
from the connection and written to it. One that has "dropped" only stands for as many that came too
fast."""

WAITING: Final = 512
"""Events that may wait for whoever reads them; the next ones are dropped and counted."""

CHECK_S: Final = 0.5
"""How often it is looked whether the connection has ended."""

MOST: Final = 8
"""Traces at a time."""


class ConnectionTrace:
    """The trace of one connection, until it is closed or `stop` is called."""

    def __init__(
        self,
        running: Running,
        conn: str,
        events: Events,
        ended: Callable[[str], None],
        *,
        feed: Callable[[Callable[[], None]], None],
        after: Callable[[float, Callable[[], None]], None],
    ) -> None:
        """Begin. To be called in the thread of `feed`, in which `events` and `ended` are called.

        Args:
            running: the process.
            conn: the id of the connection, or its name in log lines.
            events: gets the events.
            ended: called once, with the reason, unless `stop` was called: the connection has
                ended, or there was none.
            feed, after: see Gathering.
        """
        self._events = events
        self._ended = ended
        self._feed = feed
        self._after = after
        self._waiting: deque[dict[str, Any]] = deque()
        self._fed = False
        self._dropped = 0
        self._began = 0.0
        self._trace: _Conversation | None = None
        found = [vc for engine in running.engines for vc in connections_named(engine, conn)]
        if len(found) != 1:
            ids = ", ".join(vc.id for vc in found[:20])
            several = f"{len(found)} connections have this name: {ids}"
            feed(lambda: ended(several if found else "there is no such connection"))
        elif len(Trace.running) >= MOST:
            feed(lambda: ended(f"there are {MOST} traces already"))
        else:
            self._began = found[0].engine.now
            self._trace = _Conversation(found[0], self._received)
            self._trace.start()
            feed(lambda: events(()))
            after(CHECK_S, self._check)

    def stop(self) -> None:
        """End. May be repeated; to be called in the thread of `feed`."""
        if self._trace is not None:
            self._trace.stop()
            self._trace = None
            self._waiting.clear()

    def _received(self, vc: NetVConnection, entry: HistoryEntry) -> None:
        """An event is about to be received, on the net thread."""
        if len(self._waiting) >= WAITING:
            self._dropped += 1
            return
        self._waiting.append(
            {
                "at": round(vc.engine.now - self._began, 6),
                "machine": entry.machine,
                "state": entry.state.name,
                "event": label(entry.key),
                "source": entry.source,
                "bytes_in": vc.bytes_read,
                "bytes_out": vc.bytes_written,
            }
        )
        if not self._fed:
            self._fed = True
            self._feed(self._flush)

    def _flush(self) -> None:
        self._fed = False
        taken: list[dict[str, Any]] = []
        while self._waiting:
            taken.append(self._waiting.popleft())
        dropped, self._dropped = self._dropped, 0
        if dropped:
            taken.append({"dropped": dropped})
        if taken and self._trace is not None:
            self._events(taken)

    def _check(self) -> None:
        if self._trace is None:
            return
        vc = self._trace.vc
        if vc in vc.engine.vcs:
            self._after(CHECK_S, self._check)
            return
        self._flush()
        self.stop()
        self._ended("the connection is closed")


class _Conversation(Trace):
    """Traces all machines under the mutex of a connection."""

    def __init__(
        self, vc: NetVConnection, received: Callable[[NetVConnection, HistoryEntry], None]
    ) -> None:
        super().__init__(lambda entry: received(vc, entry))
        self.vc = vc

    def covers(self, machine: Machine) -> bool:
        """See Trace."""
        return machine.mutex is self.vc.mutex
