"""ChildPipes: the pipes of one child process, until the VCs that connect to them have them.

For both drivers: `Pipe` is a descriptor or a simulated stream. The launch makes the pipes, and the
VCs connect, in any order. Tested in tests/conformance/test_child_pipes.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Generic, TypeVar

from vcproxy.engine.sources.child_process import stream_of

if TYPE_CHECKING:
    from vcproxy.engine.commands import Connect

Pipe = TypeVar("Pipe")


class ChildPipes(Generic[Pipe]):
    """Matches pipes with the requests to connect to them."""

    def __init__(
        self,
        streams: tuple[str, ...],
        attach: Callable[[Connect, Pipe], None],
        discard: Callable[[Pipe], None],
        finished: Callable[[], object],
    ) -> None:
        """`attach(command, pipe)` makes it the port of a VC; `discard(pipe)` closes it;
        `finished()` is called when all pipes have their VC, or are closed."""
        self._attach = attach
        self._discard = discard
        self._finished = finished
        self._left = set(streams)  # neither given to a VC nor refused
        self._offered: dict[str, Pipe] = {}
        self._waiting: dict[str, Connect] = {}
        self._abandoned: set[str] = set()
        self._why = ""

    def connect(self, command: Connect) -> None:
        """Connect a VC, now or when the child is launched."""
        stream = stream_of(command.address)
        if self._why:
            if not command.outgoing.vc.closed:
                command.outgoing.refused(command.address, OSError(self._why))
            self._finish(stream)
        elif stream in self._offered:
            self._give(command, self._offered.pop(stream))
        else:
            self._waiting[stream] = command

    def offer(self, pipes: Mapping[str, Pipe]) -> None:
        """Take the pipes of a child that was launched."""
        for stream, pipe in pipes.items():
            command = self._waiting.pop(stream, None)
            if command is not None:
                self._give(command, pipe)
            elif self._why or stream in self._abandoned:
                self._discard(pipe)
                self._finish(stream)
            else:
                self._offered[stream] = pipe

    def abandon(self, stream: str) -> None:
        """Close the pipe of a VC that was closed before it was connected."""
        self._abandoned.add(stream)
        self._waiting.pop(stream, None)
        if stream in self._offered:
            self._discard(self._offered.pop(stream))
            self._finish(stream)

    def fail(self, why: str) -> None:
        """Refuse all that is not connected yet: the child does not run, or its source is closed."""
        self._why = why
        for pipe in self._offered.values():
            self._discard(pipe)
        self._offered.clear()
        waiting, self._waiting = self._waiting, {}
        for command in waiting.values():
            self.connect(command)

    def _give(self, command: Connect, pipe: Pipe) -> None:
        if command.outgoing.vc.closed:
            self._discard(pipe)
        else:
            self._attach(command, pipe)
        self._finish(stream_of(command.address))

    def _finish(self, stream: str) -> None:
        if stream in self._left:
            self._left.discard(stream)
            if not self._left:
                self._finished()
