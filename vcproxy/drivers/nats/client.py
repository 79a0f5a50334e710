"""The client library: how a connection is opened and closed, and its errors in plain words."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

try:
    import nats.errors
    import nats.js.errors
    from nats.aio.client import Client
except ImportError as missing:
    raise ImportError("nats: needs a library: pip install nats-py") from missing

if TYPE_CHECKING:
    from nats.js import JetStreamContext

    from vcproxy.engine.address import Address

ANSWER_S = 10
"""A server that answers nothing for so long is taken for dead, while connecting and later."""

PING_S = 10
"""An idle connection is tried so often; the third try without an answer is the last."""

CLOSING_S = 2.0
"""A connection that has not closed by itself by then is left to the system."""

# The library logs, with a traceback, what it tells its callbacks too; with no handler at all,
# Python would print it.
logging.getLogger("nats").addHandler(logging.NullHandler())
logging.getLogger("nats").propagate = False


async def connect(
    address: Address,
    on_error: Callable[[Exception], Awaitable[None]],
    on_close: Callable[[], Awaitable[None]],
) -> Client:
    """Return a connection that is made. It is not made anew: the VC fails with it."""
    client = Client()
    reasons: list[Exception] = []

    async def note(error: Exception) -> None:
        reasons.append(error)
        await on_error(error)

    name, colon, password = address.user.partition(":")
    host = f"[{address.host}]" if ":" in address.host else address.host
    try:
        await client.connect(
            f"nats://{host}:{address.port}",
            error_cb=note,
            closed_cb=on_close,
            name="vcproxy",
            allow_reconnect=False,
            max_reconnect_attempts=1,  # 0 is for ever; of the two tries that 1 is, none waits
            reconnect_time_wait=0,
            connect_timeout=ANSWER_S,
            ping_interval=PING_S,
            user=name if colon else None,
            password=password if colon else None,
            token=None if colon else name or None,
        )
    except BaseException as error:
        await close(client)
        if isinstance(error, nats.errors.NoServersError) and reasons:
            raise reasons[-1] from None  # the library says no more than that there is no server
        raise
    return client


async def settle(client: Client) -> None:
    """Wait until the server has had all that was said. Raises nats.errors.Error, OSError."""
    await client._flush_pending(force_flush=True)  # else the ping overtakes what is still queued
    await client.flush(ANSWER_S)


async def close(client: Client) -> None:
    """Close a connection, in whatever state it is."""
    try:
        await asyncio.wait_for(client.close(), CLOSING_S)
    except Exception:
        pass  # it is broken already
    if client._transport is not None:
        # The library leaves it open when its own last flush fails.
        client._transport.close()  # type: ignore[no-untyped-call]


async def stream_of(jetstream: JetStreamContext, subject: str) -> str:
    """Return the name of the stream that stores a subject. Raises ConnectionError."""
    try:
        return await jetstream.find_stream_name_by_subject(subject)
    except nats.js.errors.NotFoundError:
        raise ConnectionError(f"no stream holds {subject}") from None


def plain(error: BaseException) -> str:
    """Say what has happened without the library's trappings."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    match error:
        case (
            nats.errors.UnexpectedEOF()
            | nats.errors.ConnectionClosedError()
            | ConnectionResetError(errno=None)  # asyncio's own "Connection lost"
        ):
            return "the server has closed the connection"
        case nats.js.errors.ServiceUnavailableError() | nats.errors.NoRespondersError():
            return "JetStream is not to be had there"
        case nats.js.errors.NoStreamResponseError():
            return "no stream answers for the subject"
        case nats.js.errors.APIError(description=str(description)):
            return description
        case TimeoutError():
            return f"no answer in {ANSWER_S} s"
        case OSError(errno=int(number), strerror=str(reason)):
            # asyncio puts its own text in place of the system's; of gaierror it is the resolver's
            return (os.strerror(number) if number > 0 else reason).lower()
        case nats.errors.Error():
            return str(error).removeprefix("nats: ").strip("'").lower()
        case OSError():
            return str(error)
    return f"{type(error).__name__}: {error}"
