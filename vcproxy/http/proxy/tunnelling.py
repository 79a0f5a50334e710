"""Tunnels between a client and a server, after CONNECT or a switch of protocols.

Tested in tests/http/proxy/test_tunnels.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vcproxy.http.proxy.ending import end
from vcproxy.tunnels.two_way import TwoWayTunnel

if TYPE_CHECKING:
    from vcproxy.http.message.messages import Request, Response
    from vcproxy.http.proxy.exchange import Exchange
    from vcproxy.tunnels.done import TunnelDone

ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n%b\r\n"
"""The response to CONNECT, with a Date line."""

ESTABLISHED_STATUS = 200
"""Its status."""


def switches(request: Request, response: Response) -> bool:
    """Whether a 101 switches to a protocol that the client has requested (RFC 9110 7.8)."""
    wanted = request.upgrade
    if wanted is None:
        return False
    return response.fields.get("Upgrade", wanted).lower() in wanted.split(", ")


def start_tunnel(exchange: Exchange, head: bytes) -> None:
    """Start a tunnel. It first sends the bytes that were read already; `head` to the client before.
    TunnelDone is delivered to the client's continuation."""
    client, server, record = exchange.client, exchange.server, exchange.tx.record
    assert server.vc is not None
    service = client.service
    data = b"" if server.wire.vc is None else server.wire.take()
    for vc in (client.vc, server.vc):
        vc.set_inactivity_timeout(service.inactivity_s)
    client.deadline.set(0)
    unread, unsent = client.wire.take(), client.wire.take_unsent()
    if record is not None:
        record.status = ESTABLISHED_STATUS
        record.count_up(client.vc, len(unread))
        record.count_down(client.vc, len(unsent) + len(head))
    openings = unread, unsent + head + data
    name = f"{exchange.name} tunnel"
    TwoWayTunnel(
        client.cont, client.vc, server.vc,
        openings=openings, half_close=service.half_close, name=name,
    ).start()  # fmt: skip


def end_tunnel(exchange: Exchange, done: TunnelDone) -> None:
    """End the transaction; reset the client's connection if the tunnel failed."""
    client, record = exchange.client, exchange.tx.record
    if record is not None and client.log is not None:
        client.log.tunnel_ended(record)
    if not done.reason.clean:
        exchange.log(done)
        error = done.error or ConnectionAbortedError(done.reason.value)
        client.vc.do_io_close(error)
        exchange.server.drop(error)
    end(exchange, keep=False)
