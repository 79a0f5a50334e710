"""Subscriber: the port of a VC that reads the messages of a subject."""

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
"""Bytes that wait between the two threads: some milliseconds of small messages."""

BATCH = 64
"""Messages read at once: enough to share a turn's cost, few enough to be fair."""

PENDING_BYTES = 16 << 20
PENDING_MESSAGES = 64 << 10
"""Waiting in the library while a consumer is slow: beyond that it drops, as NATS has it, for a
server cuts off a client that does not read."""


class Subscriber(NatsPort):
    """Every message is one read, in the order of the server. An empty one is EMPTY.

    A core subscription: what nobody takes in time is dropped, counted and told.
    """

    def __init__(self, loop: AsyncioThread, outgoing: Outgoing) -> None:
        super().__init__(loop, outgoing)
        self._arrived: deque[Msg] = deque()
        self._came = 0  # bytes, with their overhead: counted by the loop
        self._taken = 0  # and by the engine's thread
        self._told = False  # the engine knows that something has arrived
        self._room = asyncio.Event()
        self._stalled = False  # the loop waits for room

    # -- in the engine's thread --------------------------------------------------------------

    def read(self) -> None:
        """Hand over what has arrived, a batch at most."""
        vc, arrived = self.vc, self._arrived
        taken: list[Msg] = []
        while arrived and len(taken) < BATCH and vc.begin_read():
            message = arrived.popleft()
            taken.append(message)
            self._taken += weight(message.data)
            vc.received(message.data or EMPTY)
        if taken:
            self._have_taken(taken)
            if arrived:
                vc.again(True)
            if self._stalled and self._waiting < QUEUE // 2:
                self._stalled = False
                self._loop.call(self._room.set)

    def write(self) -> None:
        """Nobody listens on this side of a subscription."""

    def push(self, data: Block) -> int:
        """Nobody listens on this side of a subscription."""
        return 0

    @property
    def _waiting(self) -> int:
        return self._came - self._taken

    def _have_taken(self, taken: Sequence[Msg]) -> None:
        """The engine has these messages."""

    def _look(self) -> None:
        self._told = False
        self.read()

    def _losses(self) -> str:
        count = len(self._arrived)
        return f"{messages(count)} lost with it" if count else ""

    # -- in the loop -------------------------------------------------------------------------

    async def _begin(self, client: Client) -> None:
        from vcproxy.drivers.nats.client import settle

        await client.subscribe(
            self._address.path,
            cb=self._take_slowly,
            pending_msgs_limit=PENDING_MESSAGES,
            pending_bytes_limit=PENDING_BYTES,
        )
        await settle(client)  # what the server has against it comes before the answer

    async def _serve(self, client: Client) -> None:
        await asyncio.get_running_loop().create_future()  # the library calls by itself

    async def _take_slowly(self, message: Msg) -> None:
        """Take a message; while there is no room for more, the library keeps what comes."""
        self._arrive(message)
        if self._waiting >= QUEUE:
            await self._have_room()

    def _arrive(self, message: Msg) -> None:
        self._came += weight(message.data)
        self._arrived.append(message)
        if not self._told:
            self._told = True
            self._post(self._look)

    async def _have_room(self) -> None:
        """Wait until the engine has taken the greater part."""
        while self._waiting >= QUEUE:
            self._room.clear()
            self._stalled = True  # before looking again: the engine looks at it after taking
            if self._waiting >= QUEUE:
                await self._room.wait()

    async def _noticed(self, error: Exception) -> None:
        from nats.errors import SlowConsumerError

        if isinstance(error, SlowConsumerError):
            self._drop("they came faster than they were taken")
        else:
            await super()._noticed(error)
