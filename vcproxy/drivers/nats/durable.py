"""DurableSubscriber: a port that reads a JetStream stream, and resumes after the last message.

Tested in tests/drivers/test_nats.py.
"""

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
"""A message that is not acknowledged for this long is sent again. So messages of a proxy that has
ended wait no longer than this. An existing consumer keeps its own setting."""

BATCH = 256
"""Messages of one pull request: it shares the request's cost, and limits what is sent again."""

REQUEST_S = 30
"""A pull request without messages expires after this time, and is sent again."""

_REQUEST_AGAIN = (
    "404",  # no messages now
    "408",  # the request has expired
    "409 Message Size Exceeds MaxBytes",  # the next message does not fit into this request
    "409 Leadership Change",  # another server leads the consumer now
    "409 Server Shutdown",
)
"""Statuses that end a pull request before its batch is complete."""

_CONSUMER_ENDED = ("409 Consumer ", "409 Exceeded ")
"""The consumer was deleted, is a push consumer, or does not allow such a request. Other 409 are not
an end: servers from 2.10 on also send 409 Batch Completed after a complete batch."""


_IGNORED = ("100", "409")
"""An idle heartbeat, and all other 409. If an unknown 409 ends a request, the next request is sent
when this one expires: sending it at once could become a busy loop."""


class DurableSubscriber(Subscriber):
    """A durable pull consumer of JetStream: the server sends only what was requested.

    A message is acknowledged when the engine has taken it; until then it is reported to the server
    as in progress. Delivery is at least once: when the connection breaks, unacknowledged messages
    are sent again, possibly after later ones. A missing consumer is created, and starts with the
    oldest message.
    """

    def __init__(self, loop: AsyncioThread, outgoing: Outgoing) -> None:
        super().__init__(loop, outgoing)
        self._inbox = ""
        self._subscription: Subscription | None = None
        self._next = ""  # the subject of pull requests
        self._ack_wait = ACK_WAIT_S
        self._requested = 0  # messages of the last request that may still come
        self._request_ended = asyncio.Event()
        self._unacknowledged: deque[Msg] = deque()
        self._acknowledge = asyncio.Event()
        self._ack_notified = False  # a call to acknowledge is pending in the loop

    # -- in the engine's thread --------------------------------------------------------------

    def _on_taken(self, taken: Sequence[Msg]) -> None:
        self._unacknowledged.extend(taken)
        if not self._ack_notified:
            self._ack_notified = True
            self._loop.call(self._acknowledge.set)

    def _lost(self) -> str:
        return ""  # nothing is lost: the server sends unacknowledged messages again

    # -- in the loop -------------------------------------------------------------------------

    async def _begin(self, client: Client) -> None:
        from nats.js.api import AckPolicy, ConsumerConfig
        from nats.js.errors import NotFoundError

        from vcproxy.drivers.nats.client import REPLY_S, stream_of

        subject, name = self._address.path, self._address.parameter("durable")
        jetstream = client.jetstream(timeout=REPLY_S)
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
        self._subscription = await client.subscribe(self._inbox, cb=self._on_message)

    async def _serve(self, client: Client) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._request_messages(client))
                tasks.create_task(self._acknowledge_taken())
                tasks.create_task(self._report_progress())
        finally:
            if self._error is None:
                await self._return_messages(client)

    async def _request_messages(self, client: Client) -> None:
        """Request more messages whenever the engine has taken more than half of the queue."""
        request = {
            "batch": BATCH,
            "max_bytes": max(QUEUE, client.max_payload + 8192),  # plus two subjects (4 KiB each)
            "expires": REQUEST_S * 1_000_000_000,
        }
        while True:
            await self._wait_room()
            self._requested = BATCH
            self._request_ended.clear()
            await client.publish(self._next, json.dumps(request).encode(), reply=self._inbox)
            try:
                async with asyncio.timeout(REQUEST_S + 1):
                    await self._request_ended.wait()
            except TimeoutError:
                pass  # the server has ended, and another one leads the consumer: request again

    async def _on_message(self, message: Msg) -> None:
        """Queue a message, or handle a status of the server (it has no reply subject)."""
        if not message.reply:
            header = message.headers or {}
            status = f"{header.get('Status', '')} {header.get('Description', '')}".strip()
            if status.startswith(_REQUEST_AGAIN):
                self._request_ended.set()
            elif status.startswith(_CONSUMER_ENDED) or not status.startswith(_IGNORED):
                self._fail(ConnectionError(f"the durable consumer has ended: {status}"))
            return
        self._requested -= 1
        if self._requested <= 0:
            self._request_ended.set()
        self._enqueue(message)

    async def _acknowledge_taken(self) -> None:
        while True:
            await self._acknowledge.wait()
            self._acknowledge.clear()
            self._ack_notified = False
            while self._unacknowledged:
                await self._unacknowledged.popleft().ack()

    async def _report_progress(self) -> None:
        """Report messages that wait for a slow engine as in progress: they are not sent again
        then."""
        while True:
            await asyncio.sleep(self._ack_wait / 3)
            for message in self._arrived.copy():
                await message.in_progress()

    async def _return_messages(self, client: Client) -> None:
        """Return messages that the engine has not taken: the next consumer gets them at once."""
        from vcproxy.drivers.nats.client import flush

        if self._subscription is not None:
            # End the subscription first, else the returned messages come here again.
            await self._subscription.drain()  # type: ignore[no-untyped-call]
        while self._unacknowledged:
            await self._unacknowledged.popleft().ack()
        while self._arrived:
            await self._arrived.popleft().nak()
        await flush(client)


def _require(found: ConsumerConfig, name: str, subject: str) -> None:
    """Raise ConnectionError if the settings of an existing consumer do not fit."""
    if found.deliver_subject:
        raise ConnectionError(f"consumer {name} is a push consumer; use a pull consumer")
    if found.ack_policy != "explicit":
        policy = found.ack_policy
        raise ConnectionError(f'consumer {name} has ack policy "{policy}"; it must be "explicit"')
    if found.filter_subject not in (subject, None, ""):
        raise ConnectionError(f"consumer {name} exists with subject {found.filter_subject}")
