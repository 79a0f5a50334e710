"""NatsPort: one connection to a NATS server, as a VC's port.

Tested in tests/drivers/test_nats.py.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nats.aio.client import Client

    from vcproxy.drivers.nats.asyncio_thread import AsyncioThread
    from vcproxy.engine.blocks import Block
    from vcproxy.engine.outgoing import Outgoing

OVERHEAD = 512
"""Memory in bytes that a queued message takes besides its payload (measured)."""

FLUSH_S = 5.0
"""Time that an orderly close has to deliver the messages that `sent` has counted."""

WATCH_S = 1.0
"""Interval of checks for a connection that the library has closed without a callback."""

DROPS_S = 1.0
"""Drops are logged at most this often."""


class NatsPort(ABC):
    """The common part of publisher and subscriber: opening, failing and closing a connection.

    The engine's thread calls the methods of Port, `close`, `_connected` and `_ended`; all others
    run in the loop. Each attribute is written by one of the two threads only.
    """

    spliceable = False

    def __init__(self, loop: AsyncioThread, outgoing: Outgoing) -> None:
        self.vc = outgoing.vc
        self.dropped = 0
        """Messages dropped because a queue was full or because they were too large."""
        self._loop = loop
        self._outgoing = outgoing
        self._address = outgoing.target
        self._task: asyncio.Task[None] | None = None
        self._error: BaseException | None = None
        self._drops: dict[str, int] = {}  # drops not logged yet, by reason
        self._up = False  # the connection is open, and this port has not closed it
        self._stopped = False
        self._is_connected = self._closing = self._over = False

    # -- in the engine's thread --------------------------------------------------------------

    def open(self) -> None:
        """Start to connect."""
        self.vc.port = self
        self._loop.call(self._start)

    @abstractmethod
    def read(self) -> None:
        """Read while `begin_read` allows it."""

    @abstractmethod
    def write(self) -> None:
        """Write what `begin_write()` returns."""

    @abstractmethod
    def push(self, data: Block) -> int:
        """Send one message; return its size, or 0 if there is no room."""

    def close(self, abort: bool) -> None:
        """Close: at once (`abort`), or after all sent messages have been delivered."""
        self._closing = True
        if self._over:
            self.vc.gone()
        else:
            self._loop.call(partial(self._close, abort or not self._is_connected))

    @abstractmethod
    def _lost(self) -> str:
        """Return a text about the messages lost with the connection; empty: none."""

    def _connected(self) -> None:
        self._is_connected = True
        if not self._closing:
            self._outgoing.connected(self._address, self, str, str(self._address))

    def _ended(self, reason: str) -> None:
        """Handle the end of the connection; called once."""
        self._over = True
        if self._closing:
            self.vc.gone()
        elif self._is_connected:
            lost = self._lost()
            self.vc.failed(ConnectionError(f"{reason}; {lost}" if lost else reason))
        else:
            self.vc.port = None
            self._outgoing.refused(self._address, ConnectionError(reason))

    def _log(self, reason: str, count: int) -> None:
        self.vc.engine.log("warning", f"{self.vc.name}: {messages(count)} dropped: {reason}")

    # -- in the loop -------------------------------------------------------------------------

    def _start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run())
        self._task.add_done_callback(self._report_end)

    async def _run(self) -> None:
        from vcproxy.drivers.nats import client as library

        client = await library.connect(self._address, self._on_error, self._on_close)
        try:
            self._up = True
            self._check_cancelled()
            self._watch(client)
            await self._begin(client)
            self._check_cancelled()
            self._post(self._connected)
            await self._serve(client)
        finally:
            self._up = False
            await library.close(client)

    @abstractmethod
    async def _begin(self, client: Client) -> None:
        """Prepare the connection; if this fails, the VC's connect fails."""

    @abstractmethod
    async def _serve(self, client: Client) -> None:
        """Move messages, until the port is closed."""

    async def _on_error(self, error: Exception) -> None:
        """The library's callback for errors: fail the connection."""
        self._fail(error)

    async def _on_close(self) -> None:
        """The library's callback for a closed connection: fail the connection."""
        self._fail(ConnectionError("the server has closed the connection"))

    def _watch(self, client: Client) -> None:
        """Check for a closed connection: the library makes no callback if its last flush fails."""
        if client.is_closed:
            self._fail(ConnectionError("the server has closed the connection"))
        elif self._up:
            asyncio.get_running_loop().call_later(WATCH_S, self._watch, client)

    def _fail(self, error: Exception) -> None:
        """End the connection with an error."""
        if self._up and self._error is None and self._task is not None:
            self._error = error
            self._stop(self._task)

    def _close(self, abort: bool) -> None:
        assert self._task is not None
        if abort:
            self._stop(self._task)
        else:
            self._drain(self._task)
            asyncio.get_running_loop().call_later(FLUSH_S, self._stop, self._task)

    def _drain(self, task: asyncio.Task[None]) -> None:
        """Start an orderly end: deliver what was sent, then end the task."""
        self._stop(task)

    def _stop(self, task: asyncio.Task[None]) -> None:
        self._stopped = True
        task.cancel()

    def _check_cancelled(self) -> None:
        """Raise CancelledError again: `wait_for` may swallow it before Python 3.12."""
        if self._stopped:
            raise asyncio.CancelledError

    def _report_end(self, task: asyncio.Task[None]) -> None:
        self._log_drops()
        error = self._error
        if error is None and not task.cancelled():
            error = task.exception()
        self._post(partial(self._ended, _plain(error)))

    def _drop(self, reason: str) -> None:
        """Count a dropped message; drops are logged at most once a second."""
        self.dropped += 1
        if not self._drops:
            asyncio.get_running_loop().call_later(DROPS_S, self._log_drops)
        self._drops[reason] = self._drops.get(reason, 0) + 1

    def _log_drops(self) -> None:
        for reason, count in self._drops.items():
            self._post(partial(self._log, reason, count))
        self._drops.clear()

    def _post(self, call: Callable[[], None]) -> None:
        self.vc.soon(call)


def messages(count: int) -> str:
    """Return a number of messages as text."""
    return f"{count} message{'s'[: count != 1]}"


def weight(data: Block) -> int:
    """Return the memory that a queued message takes, in bytes."""
    return len(data) + OVERHEAD


def _plain(error: BaseException | None) -> str:
    if error is None:
        return "closed"
    if isinstance(error, ImportError):
        return str(error)
    from vcproxy.drivers.nats.client import plain

    return plain(error)
