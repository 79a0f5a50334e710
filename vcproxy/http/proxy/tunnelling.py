"""Tunnels between a client and a server, after CONNECT or a switch of protocols.

Tested in tests/http/proxy/test_tunnels.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vcproxy.tunnels.two_way import TwoWayTunnel

if TYPE_CHECKING:
    from vcproxy.http.message.messages import Request, Response
    from vcproxy.http.proxy.client_side import ClientSide
    from vcproxy.http.proxy.server_side import ServerSide

ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n%b\r\n"
"""The response to CONNECT, with a Date line."""


def switches(request: Request, response: Response) -> bool:
    """Whether a 101 switches to a protocol that the client has requested (RFC 9110 7.8)."""
    wanted = request.upgrade
    if wanted is None:
        return False
    return response.fields.get("Upgrade", wanted).lower() in wanted.split(", ")


def start_tunnel(client: ClientSide, server: ServerSide, head: bytes, name: str) -> None:
    """Start a tunnel. It first sends the bytes that were read already; `head` to the client before.
    TunnelDone is delivered to the client's continuation."""
    assert server.vc is not None
    service = client.service
    data = b"" if server.wire.vc is None else server.wire.take()
    for vc in (client.vc, server.vc):
        vc.set_inactivity_timeout(service.inactivity_s)
    client.deadline.set(0)
    openings = client.wire.take(), client.wire.take_unsent() + head + data
    TwoWayTunnel(
        client.cont, client.vc, server.vc,
        openings=openings, half_close=service.half_close, name=name,
    ).start()  # fmt: skip
