"""Subscriber: a port that delivers the messages of a subject to its VC.

Tested in tests/drivers/test_nats.py.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from vcproxy.drivers.nats.port import NatsPort, messages, weight
from vcproxy.engine.blocks import EMPTY

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg

    from vcproxy.drivers.nats.asyncio_thread import AsyncioThread
    from vcproxy.engine.blocks import Block
    from vcproxy.engine.outgoing import Outgoing

QUEUE = 1 << 20
"""Bytes queued between the two threads: some milliseconds of small messages."""

BATCH = 64
"""Messages delivered in one turn: enough to share its cost, few enough to be fair."""

PENDING_BYTES = 16 << 20
PENDING_MESSAGES = 64 << 10
"""Limits of the library's queue while the VC reads slowly. Beyond them the library drops messages:
a NATS server disconnects a client that does not read."""


class Subscriber(NatsPort):
    """Delivers each message as one read, in the server's order; an empty message as EMPTY.

    It is a core NATS subscription: messages that are not read in time are dropped, counted and
    logged.
    """

    def __init__(self, loop: AsyncioThread, outgoing: Outgoing) -> None:
        super().__init__(loop, outgoing)
        self._arrived: deque[Msg] = deque()
        self._queued = 0  # bytes queued so far, with overhead; written by the loop
        self._taken = 0  # queued bytes taken so far; written by the engine's thread
        self._notified = False  # a call for queued messages is pending in the engine
        self._room = asyncio.Event()
        self._stalled = False  # the loop waits for room

    # -- in the engine's thread --------------------------------------------------------------

    def read(self) -> None:
        """Deliver queued messages, at most a batch."""
        vc, arrived = self.vc, self._arrived
        taken: list[Msg] = []
        while arrived and len(taken) < BATCH and vc.begin_read():
            message = arrived.popleft()
            taken.append(message)
            self._taken += weight(message.data)
            vc.received(message.data or EMPTY)
        if taken:
            self._on_taken(taken)
            if arrived:
                vc.again(True)
            if self._stalled and self._waiting < QUEUE // 2:
                self._stalled = False
                self._loop.call(self._room.set)

    def write(self) -> None:
        """Do nothing: a subscription cannot be written to."""

    def push(self, data: Block) -> int:
        """Write nothing: a subscription cannot be written to."""
        return 0

    @property
    def _waiting(self) -> int:
        return self._queued - self._taken

    def _on_taken(self, taken: Sequence[Msg]) -> None:
        """Called when the engine has taken these messages."""

    def _deliver(self) -> None:
        self._notified = False
        self.read()

    def _lost(self) -> str:
        count = len(self._arrived)
        return f"{messages(count)} lost with it" if count else ""

    # -- in the loop -------------------------------------------------------------------------

    async def _begin(self, client: Client) -> None:
        from vcproxy.drivers.nats.client import flush

        await client.subscribe(
            self._address.path,
            cb=self._on_message,
            pending_msgs_limit=PENDING_MESSAGES,
            pending_bytes_limit=PENDING_BYTES,
        )
        await flush(client)  # the server reports a refused subscription before its reply

    async def _serve(self, client: Client) -> None:
        await asyncio.get_running_loop().create_future()  # messages come by _on_message

    async def _on_message(self, message: Msg) -> None:
        """Queue a message; while the queue is full, the library keeps further ones."""
        self._enqueue(message)
        if self._waiting >= QUEUE:
            await self._wait_room()

    def _enqueue(self, message: Msg) -> None:
        self._queued += weight(message.data)
        self._arrived.append(message)
        if not self._notified:
            self._notified = True
            self._post(self._deliver)

    async def _wait_room(self) -> None:
        """Wait until the engine has taken more than half of the queue."""
        while self._waiting >= QUEUE:
            self._room.clear()
            self._stalled = True  # set before the second check, as the engine reads it last
            if self._waiting >= QUEUE:
                await self._room.wait()

    async def _on_error(self, error: Exception) -> None:
        from nats.errors import SlowConsumerError

        if isinstance(error, SlowConsumerError):
            self._drop("received faster than read")
        else:
            await super()._on_error(error)
