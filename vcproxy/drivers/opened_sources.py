"""OpenedSources: performs the commands of the sources of one engine, for every driver.

Tested in tests/conformance/test_sources.py and, for each kind, in its own test there.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from vcproxy.engine.address import CHILD
from vcproxy.engine.sources.child_process import number_of, stream_of

if TYPE_CHECKING:
    from vcproxy.drivers.child_pipes import ChildPipes
    from vcproxy.engine.commands import (
        CloseSource,
        Connect,
        DisableSource,
        EnableSource,
        OpenSource,
        SendDatagram,
        SignalChild,
        UnwatchPath,
        WatchContent,
        WatchPath,
    )
    from vcproxy.engine.net import NetVConnection
    from vcproxy.engine.sources.source import Source


class Opened(Protocol):
    """What a driver has opened for a source. The commands for one kind are methods of its class."""

    def set_watched(self, watched: bool) -> None:
        """Pass events in, or not: the source is enabled or disabled. What loses nothing by it may
        go on: the engine keeps what it is passed."""

    def close(self) -> None:
        """Close it: the source is closed, or the driver ends. It may be repeated."""


class OpenedSources:
    """What is open, by the number of the source. A driver extends it by `_open`."""

    def __init__(self) -> None:
        self._opened: dict[int, Any] = {}  # Opened, with the methods of its kind
        self._pipes: dict[int, ChildPipes[Any]] = {}  # of child processes, until VCs have them

    def _open(self, source: Source, ended: Callable[[], object]) -> Opened | None:
        """Open a source; None if that has failed. `ended()` is to be called when it has ended by
        itself, later on."""
        raise NotImplementedError

    def open(self, command: OpenSource) -> None:
        """Open a source."""
        source = command.source
        if source.cont is None:
            return  # closed in the same turn
        number = source.number
        opened = self._open(source, partial(self._opened.pop, number, None))
        if opened is not None:
            self._opened[number] = opened

    def close_source(self, command: CloseSource) -> None:
        """Close a source."""
        number = command.source.number
        pipes = self._pipes.pop(number, None)
        if pipes is not None:
            pipes.fail("the child process was closed")
        opened = self._opened.pop(number, None)
        if opened is not None:
            opened.close()

    def disable(self, command: DisableSource) -> None:
        """Stop watching a source."""
        opened = self._opened.get(command.source.number)
        if opened is not None:
            opened.set_watched(False)

    def enable(self, command: EnableSource) -> None:
        """Watch a source again."""
        opened = self._opened.get(command.source.number)
        if opened is not None:
            opened.set_watched(True)

    # -- for one kind ------------------------------------------------------------------------

    def send(self, command: SendDatagram) -> None:
        """Send a datagram."""
        sockets = self._opened.get(command.source.number)
        if sockets is not None:
            sockets.send(command.data, command.to)

    def signal_child(self, command: SignalChild) -> None:
        """Send a signal to a child process."""
        child = self._opened.get(command.source.number)
        if child is not None:
            child.signal(command.number)

    def watch_path(self, command: WatchPath) -> None:
        """Watch a path."""
        paths = self._opened.get(command.source.number)
        if paths is not None:
            paths.watch(command.watch)

    def unwatch_path(self, command: UnwatchPath) -> None:
        """Stop watching a path."""
        paths = self._opened.get(command.source.number)
        if paths is not None:
            paths.unwatch(command.path)

    def watch_content(self, command: WatchContent) -> None:
        """Watch the content of files."""
        files = self._opened.get(command.source.number)
        if files is not None:
            files.watch(command.paths)

    # -- pipes of child processes ------------------------------------------------------------

    def connect_pipe(self, command: Connect) -> bool:
        """Connect a VC to a pipe of a child process, now or when it is launched. Return whether
        that is what it connects to."""
        if command.address.scheme != CHILD:
            return False
        pipes = self._pipes.get(number_of(command.address))
        if pipes is not None:
            pipes.connect(command)
        elif not command.outgoing.vc.closed:
            self._refuse(command, OSError("the child process was closed"))
        return True

    def abandon_pipe(self, vc: NetVConnection) -> None:
        """Close a pipe whose VC was closed before it was connected, if it is one of a pipe."""
        outgoing = vc.outgoing
        if outgoing is None or outgoing.target.scheme != CHILD:
            return
        pipes = self._pipes.get(number_of(outgoing.target))
        if pipes is not None:
            pipes.abandon(stream_of(outgoing.target))

    def _refuse(self, command: Connect, error: OSError) -> None:
        command.outgoing.refused(command.address, error)
