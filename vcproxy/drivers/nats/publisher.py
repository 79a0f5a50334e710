"""Publisher: the port of a VC whose writes become the messages of a subject."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from vcproxy.drivers.nats.port import NatsPort, messages, weight

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg

    from vcproxy.drivers.nats.asyncio_thread import AsyncioThread
    from vcproxy.engine.blocks import Block
    from vcproxy.engine.outgoing import Outgoing

WINDOW = 4 << 20
"""Bytes taken over and not yet confirmed: 80 MiB/s over a round trip of 50 ms."""

TOO_LARGE = 10054
"""JetStream's number for a message that is larger than the stream allows."""

NO_STREAM = {"err_code": 0, "description": "no stream holds the subject any more"}
"""What an empty answer means: the server's word that nobody has heard the message."""


class Publisher(NatsPort):
    """Each block is a message. What `sent` counts has been taken over, as by a kernel's socket.

    It is confirmed when the server has answered a ping that came behind it; of a stream, when the
    stream says that each is stored. With the connection the rest is lost, and counted.
    """

    def __init__(self, loop: AsyncioThread, outgoing: Outgoing) -> None:
        super().__init__(loop, outgoing)
        self._unconfirmed = 0
        """Messages."""
        self._weight = 0  # theirs
        self._queue: deque[bytes] = deque()
        self._work = asyncio.Event()
        self._called = False  # the loop knows that there is work
        self._settling = False
        self._stream = outgoing.target.parameter("stream")
        self._inbox = ""  # where the stream answers
        self._unanswered = 0
        self._answered = asyncio.Event()

    # -- in the engine's thread --------------------------------------------------------------

    def read(self) -> None:
        """A subject that is published to says nothing."""

    def write(self) -> None:
        """Take what the window has room for."""
        if self._full:
            return
        blocks = self.vc.begin_write()
        if blocks is not None:
            self.vc.sent(self.push_each(blocks))

    def push(self, data: Block) -> int:
        """Take a message, or nothing."""
        return self.push_each((data,))

    def push_each(self, blocks: Sequence[Block]) -> int:
        """Take messages in their order, as many as there is room for; return their bytes."""
        taken = 0
        for block in blocks:
            if self._full:
                break
            data = bytes(block)
            self._queue.append(data)
            self._unconfirmed += 1
            self._weight += weight(data)
            taken += len(block)
        if taken and not self._called:
            self._called = True
            self._loop.call(self._work.set)
        return taken

    @property
    def _full(self) -> bool:
        return self._over or self._weight >= WINDOW

    def _confirmed(self, count: int, size: int) -> None:
        was_full = self._full
        self._unconfirmed -= count
        self._weight -= size
        if was_full:
            self.vc.again(False)

    def _losses(self) -> str:
        count = self._unconfirmed
        return f"{messages(count)} perhaps lost with it" if count else ""

    # -- in the loop -------------------------------------------------------------------------

    async def _begin(self, client: Client) -> None:
        from vcproxy.drivers.nats.client import ANSWER_S, stream_of

        if not self._stream:
            return
        jetstream, subject = client.jetstream(timeout=ANSWER_S), self._address.path
        await jetstream.stream_info(self._stream)
        holder = await stream_of(jetstream, subject)
        if holder != self._stream:
            raise ConnectionError(f"{subject} is held by stream {holder}")
        self._inbox = client.new_inbox()
        await client.subscribe(self._inbox, cb=self._take_answer)

    async def _serve(self, client: Client) -> None:
        while self._queue or not self._settling:
            await self._work.wait()
            self._work.clear()
            self._called = False
            await self._publish(client)
            self._go_on()

    async def _publish(self, client: Client) -> None:
        """Publish what is queued, and wait until it has arrived."""
        from vcproxy.drivers.nats.client import settle

        count = size = 0
        while self._queue:
            data = self._queue.popleft()
            count += 1
            size += weight(data)
            if len(data) > client.max_payload:
                self._drop(f"longer than the {client.max_payload} bytes that the server takes")
            else:
                self._unanswered += 1
                await client.publish(self._address.path, data, reply=self._inbox)
        if self._inbox:
            await self._have_answers()
        else:
            await settle(client)
        self._post(partial(self._confirmed, count, size))

    async def _have_answers(self) -> None:
        from vcproxy.drivers.nats.client import ANSWER_S

        async with asyncio.timeout(ANSWER_S):
            while self._unanswered:
                self._answered.clear()
                await self._answered.wait()

    async def _take_answer(self, message: Msg) -> None:
        """The stream has stored a message, or says why not. In whatever order."""
        error = json.loads(message.data).get("error") if message.data else NO_STREAM
        if error is not None and error["err_code"] == TOO_LARGE:
            self._drop(f"longer than stream {self._stream} allows")
        elif error is not None:
            self._break(ConnectionError(error["description"]))
        self._unanswered -= 1
        if not self._unanswered:
            self._answered.set()

    def _settle(self, task: asyncio.Task[None]) -> None:
        self._settling = True
        self._work.set()
