"""Opens and closes connections with the client library; translates its errors to plain texts.

Tested in tests/drivers/test_nats.py.
"""

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
    raise ImportError("nats: needs a library: pip install '.[nats]' in the checkout") from missing

if TYPE_CHECKING:
    from nats.js import JetStreamContext

    from vcproxy.engine.address import Address

REPLY_S = 10
"""Time limit of a server's reply, while connecting and later; then the connection fails."""

PING_S = 10
"""Interval of pings on an idle connection; it fails after the third ping without a reply."""

CLOSE_S = 2.0
"""Time that the library has to close a connection; then its socket is closed directly."""

# The library also logs what it passes to its callbacks, with a traceback. Without any handler,
# Python would print it.
logging.getLogger("nats").addHandler(logging.NullHandler())
logging.getLogger("nats").propagate = False


async def connect(
    address: Address,
    on_error: Callable[[Exception], Awaitable[None]],
    on_close: Callable[[], Awaitable[None]],
) -> Client:
    """Return an open connection. The library does not reconnect it: if it breaks, the VC fails."""
    client = Client()
    reasons: list[Exception] = []

    async def failed(error: Exception) -> None:
        reasons.append(error)
        await on_error(error)

    name, colon, password = address.user.partition(":")
    host = f"[{address.host}]" if ":" in address.host else address.host
    try:
        await client.connect(
            f"nats://{host}:{address.port}",
            error_cb=failed,
            closed_cb=on_close,
            name="vcproxy",
            allow_reconnect=False,
            max_reconnect_attempts=1,  # 0 means for ever; 1 means two attempts without a pause
            reconnect_time_wait=0,
            connect_timeout=REPLY_S,
            ping_interval=PING_S,
            user=name if colon else None,
            password=password if colon else None,
            token=None if colon else name or None,
        )
    except BaseException as error:
        await close(client)
        if isinstance(error, nats.errors.NoServersError) and reasons:
            raise reasons[-1] from None  # NoServersError itself has no reason
        raise
    return client


async def flush(client: Client) -> None:
    """Wait until the server has received all that was sent. Raises nats.errors.Error, OSError."""
    await client._flush_pending(force_flush=True)  # else the ping would precede queued messages
    await client.flush(REPLY_S)


async def close(client: Client) -> None:
    """Close a connection in any state."""
    try:
        await asyncio.wait_for(client.close(), CLOSE_S)
    except Exception:
        pass  # the connection is broken
    if client._transport is not None:
        # The library leaves the socket open if its own last flush fails.
        client._transport.close()  # type: ignore[no-untyped-call]


async def stream_of(jetstream: JetStreamContext, subject: str) -> str:
    """Return the name of the stream that stores a subject. Raises ConnectionError."""
    try:
        return await jetstream.find_stream_name_by_subject(subject)
    except nats.js.errors.NotFoundError:
        raise ConnectionError(f"no stream holds {subject}") from None


def plain(error: BaseException) -> str:
    """Return the library's error as a plain text."""
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
            return "the server does not offer JetStream"
        case nats.js.errors.NoStreamResponseError():
            return "no stream has replied for the subject"
        case nats.js.errors.APIError(description=str(description)):
            return description
        case TimeoutError():
            return f"no reply within {REPLY_S} s"
        case OSError(errno=int(number), strerror=str(reason)):
            # asyncio replaces the system's text by its own; a gaierror has the resolver's text
            return (os.strerror(number) if number > 0 else reason).lower()
        case nats.errors.Error():
            return str(error).removeprefix("nats: ").strip("'").lower()
        case OSError():
            return str(error)
    return f"{type(error).__name__}: {error}"
