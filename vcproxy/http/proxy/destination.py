"""Destination: where a request is sent, determined by its target and the options.

Tested in tests/http/proxy/test_routing.py and test_tunnels.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vcproxy.engine.address import Address
from vcproxy.http.message.resource import canonical_host
from vcproxy.http.proxy.failure import Failure
from vcproxy.http.proxy.routing import NoRoute, Route

if TYPE_CHECKING:
    from vcproxy.http.message.messages import Request
    from vcproxy.http.proxy.options import Options


def destination(request: Request, options: Options) -> Route | Address | Failure:
    """Return the route of a request, or the address in its target, or why it is refused."""
    if request.form == "authority":
        if options.connect is None:
            return _denied("CONNECT is not enabled on this proxy")
        host, port = _host_and_port(request.host, 443)
        if not options.connect.permits(host, port):
            return _denied("CONNECT to this destination is not allowed")
        return Address("tcp", host, port)
    if request.form == "absolute" and options.forward is not None:
        if request.target[:5].lower() != "http:":
            return _denied("only http: URIs are forwarded; use CONNECT for https:")
        host, port = _host_and_port(request.host, 80)
        if not options.forward.permits(host, port):
            return _denied("forwarding to this destination is not allowed")
        return Address("tcp", host, port)
    found = options.table.find(request)
    if isinstance(found, Route):
        return found
    why = "no route matches" if found is NoRoute.NOT_FOUND else "no route is for this host"
    return Failure(int(found), "client", why, "destination_not_found")


def _host_and_port(authority: str, default: int) -> tuple[str, int]:
    port = authority.rpartition("]")[2].rpartition(":")[2] if ":" in authority else ""
    return canonical_host(authority), int(port) if port.isdecimal() else default


def _denied(why: str) -> Failure:
    return Failure(403, "client", why, "http_request_denied")
