"""Destination: where a request is to go, by what it asks for and what is configured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vcproxy.engine.address import Address
from vcproxy.http.message.resource import canonical_host
from vcproxy.http.proxy.routing import NoRoute, Route
from vcproxy.http.proxy.transaction import Failure

if TYPE_CHECKING:
    from vcproxy.http.message.messages import Request
    from vcproxy.http.proxy.options import Options


def destination(request: Request, options: Options) -> Route | Address | Failure:
    """Return the route that a request takes, the address that it names, or why it goes nowhere."""
    if request.form == "authority":
        if options.connect is None:
            return _denied("no tunnels are opened here")
        host, port = _place(request.host, 443)
        if not options.connect.permits(host, port):
            return _denied("no tunnel is opened to there")
        return Address("tcp", host, port)
    if request.form == "absolute" and options.forward is not None:
        if request.target[:5].lower() != "http:":
            return _denied("only http: is forwarded: use CONNECT for what is secret")
        host, port = _place(request.host, 80)
        if not options.forward.permits(host, port):
            return _denied("nothing is forwarded to there")
        return Address("tcp", host, port)
    found = options.table.find(request)
    if isinstance(found, Route):
        return found
    why = "no such place" if found is NoRoute.NOT_FOUND else "that host is not served here"
    return Failure(int(found), "client", why, "destination_not_found")


def _place(authority: str, default: int) -> tuple[str, int]:
    port = authority.rpartition("]")[2].rpartition(":")[2] if ":" in authority else ""
    return canonical_host(authority), int(port) if port.isdecimal() else default


def _denied(why: str) -> Failure:
    return Failure(403, "client", why, "http_request_denied")
