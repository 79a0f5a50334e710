"""NatsPort: one connection to a NATS server as a VC's port, from the first to the last."""

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
"""Bytes that a queued message costs beside its own, as measured: small ones are not for nothing."""

FLUSHING_S = 5.0
"""How long a VC that was closed in order may take to hand over what `sent` has counted."""

WATCH_S = 1.0
"""A connection that has ended without a word is found out after so long."""

DROPS_S = 1.0
"""Drops are told at most this often."""


class NatsPort(ABC):
    """What publishing and hearing share: how a connection comes, breaks and ends.

    The engine's thread calls what Port names, `close`, `_connected` and `_ended`; all else runs in
    the loop. An attribute is written by one of the two threads only.
    """

    spliceable = False

    def __init__(self, loop: AsyncioThread, outgoing: Outgoing) -> None:
        self.vc = outgoing.vc
        self.dropped = 0
        """Messages that could not be passed on, for want of room or for their size."""
        self._loop = loop
        self._outgoing = outgoing
        self._address = outgoing.target
        self._task: asyncio.Task[None] | None = None
        self._error: BaseException | None = None
        self._drops: dict[str, int] = {}  # by their reason: those that the log does not know of
        self._up = False  # from when there is a connection until we give it up ourselves
        self._stopped = False
        self._is_connected = self._closing = self._over = False

    # -- in the engine's thread --------------------------------------------------------------

    def open(self) -> None:
        """Begin to connect."""
        self.vc.port = self
        self._loop.call(self._start)

    @abstractmethod
    def read(self) -> None:
        """Read as `begin_read` says."""

    @abstractmethod
    def write(self) -> None:
        """Write as `begin_write` says."""

    @abstractmethod
    def push(self, data: Block) -> int:
        """Take a message, or nothing."""

    def close(self, abort: bool) -> None:
        """Close: at once, or when what was sent has been handed over."""
        self._closing = True
        if self._over:
            self.vc.gone()
        else:
            self._loop.call(partial(self._close, abort or not self._is_connected))

    @abstractmethod
    def _losses(self) -> str:
        """What is lost with the connection."""

    def _connected(self) -> None:
        self._is_connected = True
        if not self._closing:
            self._outgoing.connected(self._address, self, "", str(self._address))

    def _ended(self, reason: str) -> None:
        """The last that is heard of the loop's end."""
        self._over = True
        if self._closing:
            self.vc.gone()
        elif self._is_connected:
            lost = self._losses()
            self.vc.failed(ConnectionError(f"{reason}; {lost}" if lost else reason))
        else:
            self.vc.port = None
            self._outgoing.refused(self._address, ConnectionError(reason))

    def _log(self, reason: str, count: int) -> None:
        self.vc.engine.log("warning", f"{self.vc.name}: {messages(count)} dropped: {reason}")

    # -- in the loop -------------------------------------------------------------------------

    def _start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._live())
        self._task.add_done_callback(self._tell_end)

    async def _live(self) -> None:
        from vcproxy.drivers.nats import client as library

        client = await library.connect(self._address, self._noticed, self._lost)
        try:
            self._up = True
            self._go_on()
            self._watch(client)
            await self._begin(client)
            self._go_on()
            self._post(self._connected)
            await self._serve(client)
        finally:
            self._up = False
            await library.close(client)

    @abstractmethod
    async def _begin(self, client: Client) -> None:
        """Do what must succeed before the VC is connected."""

    @abstractmethod
    async def _serve(self, client: Client) -> None:
        """Move messages, until the port is closed."""

    async def _noticed(self, error: Exception) -> None:
        """The library tells of an error. There is none that leaves the connection of use."""
        self._break(error)

    async def _lost(self) -> None:
        """The library has closed the connection, for whatever reason."""
        self._break(ConnectionError("the server has closed the connection"))

    def _watch(self, client: Client) -> None:
        """Look after the library, which says nothing when its own last flush fails."""
        if client.is_closed:
            self._break(ConnectionError("the server has closed the connection"))
        elif self._up:
            asyncio.get_running_loop().call_later(WATCH_S, self._watch, client)

    def _break(self, error: Exception) -> None:
        """Nothing can be done any more."""
        if self._up and self._error is None and self._task is not None:
            self._error = error
            self._stop(self._task)

    def _close(self, abort: bool) -> None:
        assert self._task is not None
        if abort:
            self._stop(self._task)
        else:
            self._settle(self._task)
            asyncio.get_running_loop().call_later(FLUSHING_S, self._stop, self._task)

    def _settle(self, task: asyncio.Task[None]) -> None:
        """Bring the service to an orderly end."""
        self._stop(task)

    def _stop(self, task: asyncio.Task[None]) -> None:
        self._stopped = True
        task.cancel()

    def _go_on(self) -> None:
        """Raise CancelledError if that was swallowed: by wait_for, until Python 3.12."""
        if self._stopped:
            raise asyncio.CancelledError

    def _tell_end(self, task: asyncio.Task[None]) -> None:
        self._tell_drops()
        error = self._error
        if error is None and not task.cancelled():
            error = task.exception()
        self._post(partial(self._ended, _plain(error)))

    def _drop(self, reason: str) -> None:
        """Count a message that goes nowhere; say so, at most once a second."""
        self.dropped += 1
        if not self._drops:
            asyncio.get_running_loop().call_later(DROPS_S, self._tell_drops)
        self._drops[reason] = self._drops.get(reason, 0) + 1

    def _tell_drops(self) -> None:
        for reason, count in self._drops.items():
            self._post(partial(self._log, reason, count))
        self._drops.clear()

    def _post(self, call: Callable[[], None]) -> None:
        self.vc.soon(call)


def messages(count: int) -> str:
    """So many messages, in words."""
    return f"{count} message{'s'[: count != 1]}"


def weight(data: Block) -> int:
    """What a message costs while it is queued, in bytes."""
    return len(data) + OVERHEAD


def _plain(error: BaseException | None) -> str:
    if error is None:
        return "closed"
    if isinstance(error, ImportError):
        return str(error)
    from vcproxy.drivers.nats.client import plain

    return plain(error)
