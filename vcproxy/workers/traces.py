"""Traces: the connections of workers that the control traces, by number.

Tested in tests/e2e/test_questions.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from vcproxy.workers.messages import Message, Verb

TracedEvents: TypeAlias = Callable[[Sequence[Mapping[str, Any]]], None]
"""Gets some events of a connection: see Events."""


class Traces:
    """The traces that go on. All methods belong to the thread of the master."""

    def __init__(self, send: Callable[[int, Message], bool]) -> None:
        """`send` sends a message to a worker, and returns whether it could."""
        self._send = send
        self._count = 0
        self._open: dict[int, tuple[int, TracedEvents, Callable[[str], None]]] = {}

    def start(
        self, worker: int, conn: str, events: TracedEvents, ended: Callable[[str], None]
    ) -> int:
        """Trace a connection of a worker; return the number of the trace."""
        self._count += 1
        self._open[self._count] = worker, events, ended
        if not self._send(worker, Message(Verb.TRACE, number=self._count, name=conn)):
            self._end(self._count, "there is no such connection")
        return self._count

    def stop(self, number: int) -> None:
        """End a trace; nothing more is called for it."""
        found = self._open.pop(number, None)
        if found is not None:
            self._send(found[0], Message(Verb.END_TRACE, number=number))

    def received(self, message: Message) -> None:
        """Handle TRACED."""
        found = self._open.get(message.number)
        if found is not None and message.more:
            found[1](json.loads(message.text))
        elif found is not None:
            self._end(message.number, message.text)

    def gone(self, worker: int) -> None:
        """The process of a worker has ended."""
        for number in [number for number, found in self._open.items() if found[0] == worker]:
            self._end(number, "the worker has ended")

    def _end(self, number: int, why: str) -> None:
        _, _, ended = self._open.pop(number)
        ended(why)
