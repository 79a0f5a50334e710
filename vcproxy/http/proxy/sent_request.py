"""SentRequest: a request that was sent on the direct path, to be continued by an Exchange.

Tested in tests/http/proxy/test_exchange.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from vcproxy.engine.net import NetVConnection
    from vcproxy.http.message.messages import Request
    from vcproxy.http.proxy.routing import Route
    from vcproxy.upstream.upstream import Upstream


class SentRequest(NamedTuple):
    """A request without a body, and its progress.

    `handle_event(SentRequest, sent)` makes an HttpProxy that is READING_HEAD await its response.
    """

    request: Request
    route: Route | None
    upstream: Upstream
    server: NetVConnection
    """The connection, as `upstream.take` returns it."""
    began_s: float
    """The engine's time at which the head was complete."""
    idle_s: float
    """How long the connection had been idle before."""
    before: int
    """How many bytes earlier requests have written to the connection: `ndone` of its `write_vio` if
    no byte of this one was sent."""
    unsent: bytes = b""
    """The rest of the message that was not sent yet."""
    arrived: bytes = b""
    """What has been read of the response, and is not in the connection's input buffer."""
