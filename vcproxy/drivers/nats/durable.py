"""DurableSubscriber: the port of a VC that reads a stream, and goes on where it was."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from vcproxy.drivers.nats.subscriber import QUEUE, Subscriber

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg
    from nats.aio.subscription import Subscription
    from nats.js.api import ConsumerConfig

    from vcproxy.drivers.nats.asyncio_thread import AsyncioThread
    from vcproxy.engine.outgoing import Outgoing

ACK_WAIT_S = 6.0
"""What is not acknowledged for so long comes again: what a dead proxy held waits no longer. Of a
consumer that is there already its own time counts."""

BATCH = 256
"""Messages asked for at once: one question for many, and no more come again than these."""

ASKING_S = 30
"""A question that finds nothing ends by then, and is put again."""

_ASK_AGAIN = (
    "404",  # there is nothing now
    "408",  # the time is up
    "409 Message Size Exceeds MaxBytes",  # the next message is for the next question
    "409 Leadership Change",  # another server has the consumer now
    "409 Server Shutdown",
)
"""Statuses that end a question before its batch is complete."""

_ENDED = ("409 Consumer ", "409 Exceeded ")
"""The consumer has been deleted, is a push consumer, or allows no such question. No other 409 is an
end: from 2.10 on a server also sends 409 Batch Completed, behind a batch that has come whole."""


_NOTES = ("100", "409")
"""An idle heartbeat, and what is left of 409. If a question is over by one that is not known yet,
it is put again when its time is up: at once could be a busy loop."""


class DurableSubscriber(Subscriber):
    """A durable pull consumer of JetStream: nothing comes that was not asked for.

    A message is acknowledged when the engine has taken it. Until then the server is told that it
    is in hand; when the connection breaks it comes again, perhaps behind later ones: at least
    once. A consumer that is not there yet is made, and begins with the oldest message.
    """

    def __init__(self, loop: AsyncioThread, outgoing: Outgoing) -> None:
        super().__init__(loop, outgoing)
        self._inbox = ""
        self._subscription: Subscription | None = None
        self._next = ""  # the subject on which more is asked for
        self._ack_wait = ACK_WAIT_S
        self._asked = 0  # messages that the last question may still bring
        self._answered = asyncio.Event()
        self._unacknowledged: deque[Msg] = deque()
        self._acknowledge = asyncio.Event()
        self._called = False  # the loop knows that there is something to acknowledge

    # -- in the engine's thread --------------------------------------------------------------

    def _have_taken(self, taken: Sequence[Msg]) -> None:
        self._unacknowledged.extend(taken)
        if not self._called:
            self._called = True
            self._loop.call(self._acknowledge.set)

    def _losses(self) -> str:
        return ""  # it comes again

    # -- in the loop -------------------------------------------------------------------------

    async def _begin(self, client: Client) -> None:
        from nats.js.api import AckPolicy, ConsumerConfig
        from nats.js.errors import NotFoundError

        from vcproxy.drivers.nats.client import ANSWER_S, stream_of

        subject, name = self._address.path, self._address.parameter("durable")
        jetstream = client.jetstream(timeout=ANSWER_S)
        stream = self._address.parameter("stream") or await stream_of(jetstream, subject)
        try:
            consumer = await jetstream.consumer_info(stream, name)
        except NotFoundError:
            consumer = await jetstream.add_consumer(
                stream,
                ConsumerConfig(
                    durable_name=name,
                    filter_subject=subject,
                    ack_policy=AckPolicy.EXPLICIT,
                    ack_wait=ACK_WAIT_S,
                ),
            )
        _require(consumer.config, name, subject)
        self._ack_wait = consumer.config.ack_wait or ACK_WAIT_S
        self._next = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{name}"
        self._inbox = client.new_inbox()
        self._subscription = await client.subscribe(self._inbox, cb=self._take)

    async def _serve(self, client: Client) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._ask(client))
                tasks.create_task(self._acknowledging())
                tasks.create_task(self._keep())
        finally:
            if self._error is None:
                await self._give_back(client)

    async def _ask(self, client: Client) -> None:
        """Ask for more whenever the engine has taken the greater part."""
        question = {
            "batch": BATCH,
            "max_bytes": max(QUEUE, client.max_payload + 8192),  # with its subjects (4 KiB each)
            "expires": ASKING_S * 1_000_000_000,
        }
        while True:
            await self._have_room()
            self._asked = BATCH
            self._answered.clear()
            await client.publish(self._next, json.dumps(question).encode(), reply=self._inbox)
            try:
                async with asyncio.timeout(ASKING_S + 1):
                    await self._answered.wait()
            except TimeoutError:
                pass  # who was asked is gone, another server has the consumer now: ask that

    async def _take(self, message: Msg) -> None:
        """Take a message; one to which there is no answer is the server's own word."""
        if not message.reply:
            header = message.headers or {}
            said = f"{header.get('Status', '')} {header.get('Description', '')}".strip()
            if said.startswith(_ASK_AGAIN):
                self._answered.set()
            elif said.startswith(_ENDED) or not said.startswith(_NOTES):
                self._break(ConnectionError(f"the durable consumer has ended: {said}"))
            return
        self._asked -= 1
        if self._asked <= 0:
            self._answered.set()
        self._arrive(message)

    async def _acknowledging(self) -> None:
        while True:
            await self._acknowledge.wait()
            self._acknowledge.clear()
            self._called = False
            while self._unacknowledged:
                await self._unacknowledged.popleft().ack()

    async def _keep(self) -> None:
        """Say of what waits for a slow engine that it is not forgotten."""
        while True:
            await asyncio.sleep(self._ack_wait / 3)
            for message in self._arrived.copy():
                await message.in_progress()

    async def _give_back(self, client: Client) -> None:
        """The VC is closed: what the engine has not taken is for whoever comes next, at once."""
        from vcproxy.drivers.nats.client import settle

        if self._subscription is not None:
            # or it would come here again
            await self._subscription.drain()  # type: ignore[no-untyped-call]
        while self._unacknowledged:
            await self._unacknowledged.popleft().ack()
        while self._arrived:
            await self._arrived.popleft().nak()
        await settle(client)


def _require(found: ConsumerConfig, name: str, subject: str) -> None:
    """Refuse a consumer that somebody has made for another purpose."""
    if found.deliver_subject:
        raise ConnectionError(f"{name} is a push consumer, it must be a pull consumer")
    if found.ack_policy != "explicit":
        raise ConnectionError(f'{name} has ack policy "{found.ack_policy}", it must be "explicit"')
    if found.filter_subject not in (subject, None, ""):
        raise ConnectionError(f"{name} is there already, for {found.filter_subject}")
