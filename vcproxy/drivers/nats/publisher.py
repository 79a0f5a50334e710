"""Publisher: a port that publishes its VC's writes as messages of a subject.

Tested in tests/drivers/test_nats.py.
"""

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
"""Bytes queued and not yet confirmed: enough for 80 MiB/s with a round trip of 50 ms."""

TOO_LARGE = 10054
"""JetStream's error code for a message larger than the stream allows."""

NO_STREAM = {"err_code": 0, "description": "no stream holds the subject any more"}
"""The error for an empty reply: the server sends one if no stream received the message."""


class Publisher(NatsPort):
    """Publishes each block as a message. `sent` counts queued messages, as for a kernel socket.

    A message is confirmed when the server has replied to a ping sent after it; in a stream, when
    the stream has reported it as stored. Unconfirmed messages may be lost with the connection; the
    VC's error then has their number.
    """

    def __init__(self, loop: AsyncioThread, outgoing: Outgoing) -> None:
        super().__init__(loop, outgoing)
        self._unconfirmed = 0
        """Number of unconfirmed messages."""
        self._weight = 0  # memory of the unconfirmed messages
        self._queue: deque[bytes] = deque()
        self._work = asyncio.Event()
        self._notified = False  # a call for queued messages is pending in the loop
        self._draining = False
        self._stream = outgoing.target.parameter("stream")
        self._inbox = ""  # the subject of the stream's replies
        self._pending_replies = 0
        self._all_replied = asyncio.Event()

    # -- in the engine's thread --------------------------------------------------------------

    def read(self) -> None:
        """Do nothing: a publisher receives no messages."""

    def write(self) -> None:
        """Queue messages for which the window has room."""
        if self._full:
            return
        blocks = self.vc.begin_write()
        if blocks is not None:
            self.vc.sent(self.push_each(blocks))

    def push(self, data: Block) -> int:
        """Queue a message; return its size, or 0 if the window is full."""
        return self.push_each((data,))

    def push_each(self, blocks: Sequence[Block]) -> int:
        """Queue messages in order while the window has room; return their bytes."""
        taken = 0
        for block in blocks:
            if self._full:
                break
            data = bytes(block)
            self._queue.append(data)
            self._unconfirmed += 1
            self._weight += weight(data)
            taken += len(block)
        if taken and not self._notified:
            self._notified = True
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

    def _lost(self) -> str:
        count = self._unconfirmed
        return f"{messages(count)} may be lost with it" if count else ""

    # -- in the loop -------------------------------------------------------------------------

    async def _begin(self, client: Client) -> None:
        from vcproxy.drivers.nats.client import REPLY_S, stream_of

        if not self._stream:
            return
        jetstream, subject = client.jetstream(timeout=REPLY_S), self._address.path
        await jetstream.stream_info(self._stream)
        holder = await stream_of(jetstream, subject)
        if holder != self._stream:
            raise ConnectionError(f"{subject} belongs to stream {holder}")
        self._inbox = client.new_inbox()
        await client.subscribe(self._inbox, cb=self._on_reply)

    async def _serve(self, client: Client) -> None:
        while self._queue or not self._draining:
            await self._work.wait()
            self._work.clear()
            self._notified = False
            await self._publish(client)
            self._check_cancelled()

    async def _publish(self, client: Client) -> None:
        """Publish the queued messages, and wait until they are confirmed."""
        from vcproxy.drivers.nats.client import flush

        count = size = 0
        while self._queue:
            data = self._queue.popleft()
            count += 1
            size += weight(data)
            if len(data) > client.max_payload:
                self._drop(f"larger than the server's limit of {client.max_payload} bytes")
            else:
                self._pending_replies += 1
                await client.publish(self._address.path, data, reply=self._inbox)
        if self._inbox:
            await self._wait_replies()
        else:
            await flush(client)
        self._post(partial(self._confirmed, count, size))

    async def _wait_replies(self) -> None:
        from vcproxy.drivers.nats.client import REPLY_S

        async with asyncio.timeout(REPLY_S):
            while self._pending_replies:
                self._all_replied.clear()
                await self._all_replied.wait()

    async def _on_reply(self, message: Msg) -> None:
        """Handle the stream's reply to one message: stored, or an error. They come in any order."""
        error = json.loads(message.data).get("error") if message.data else NO_STREAM
        if error is not None and error["err_code"] == TOO_LARGE:
            self._drop(f"larger than stream {self._stream} allows")
        elif error is not None:
            self._fail(ConnectionError(error["description"]))
        self._pending_replies -= 1
        if not self._pending_replies:
            self._all_replied.set()

    def _drain(self, task: asyncio.Task[None]) -> None:
        self._draining = True
        self._work.set()
