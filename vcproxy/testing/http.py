"""SimulatedHttp: HTTP filters between a scripted client and scripted origins, in simulation.

    with SimulatedHttp(Stamp()) as proxy:
        response = proxy.send(Request("GET", "/", host="a.example"))
        assert response.status == 200
        assert proxy.received()[0].fields["X-Stamp"] == "7"

Everything is in memory and in virtual time. Client and origins parse messages as strictly as the
proxy does. Tested in tests/testing/test_http.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from vcproxy.http.filters import Phases
from vcproxy.http.message.body import body_reader
from vcproxy.http.message.fields import Fields
from vcproxy.http.message.forwarding import to_client
from vcproxy.http.message.limits import MessageLimits
from vcproxy.http.message.messages import Request, Response
from vcproxy.http.message.parsing import head_end, parse_request, parse_response
from vcproxy.http.proxy.connection import HttpProxy
from vcproxy.http.proxy.options import Options
from vcproxy.testing.proxy import SimulatedProxy

if TYPE_CHECKING:
    from vcproxy.drivers.sim import Peer
    from vcproxy.http.message.messages import Body

OriginHandler: TypeAlias = Callable[[Request], Response | None]
"""Returns the origin's response to a request; None: no response. The request is complete, with its
body in `content`."""

LIMITS = MessageLimits()


def ok(request: Request) -> Response:
    """Return a response with status 200. The default handler of an origin."""
    return Response(200, {"Content-Type": "text/plain"}, b"ok\n")


class SimulatedHttp(SimulatedProxy):
    """An HTTP proxy with filters, one origin for each upstream, and a client for each request.

    Args:
        filters: the filters, in the order of the option `filters`.
        answer: the handler of the origin of the listener's upstream.
        upstreams: the other upstreams: their names, and the handlers of their origins.
        plugin: a subclass of HttpProxy, to test phases that it defines itself.
        options: the options of the plugin, such as routes and limits.
        keywords: other arguments of SimulatedProxy: `answers`, `refusing`, `seed`, `faults` ...
    """

    def __init__(
        self,
        *filters: Phases,
        answer: OriginHandler = ok,
        upstreams: Mapping[str, OriginHandler] | None = None,
        plugin: type[HttpProxy] = HttpProxy,
        options: Options | None = None,
        **keywords: Any,
    ) -> None:
        origins = {"server": answer, **(upstreams or {})}
        self._received: dict[str, list[Request]] = {name: [] for name in origins}
        super().__init__(
            plugin,
            filters=filters,
            upstreams={name: (name,) for name in upstreams or {}},
            options=options or Options(),
            on_connect={
                name: partial(_serve, handler=handler, received=self._received[name])
                for name, handler in origins.items()
            },
            **keywords,
        )

    def send(self, request: Request, client_ip: str = "") -> Response:
        """Send a request on a new connection; return the response, with its body in `content`.

        `client_ip`: the client's IP address; "": any. Raises AssertionError if there is no
        response. An exception of a filter is raised here.
        """
        return self.send_all(request, client_ip=client_ip)[0]

    def send_all(self, *requests: Request, client_ip: str = "") -> list[Response]:
        """Send pipelined requests on one connection; return the responses."""
        client = self.client(client_ip=client_ip)
        client.send(b"".join(map(_written, requests)))
        responses: list[Response] = []

        def read() -> bool:
            data = bytes(client.received)
            responses.clear()
            for request in requests:
                response, data = _response(data, request.method, client.ended)
                if response is None:
                    return client.ended or client.reset_seen
                responses.append(response)
            return True

        self.sim.run(until=read)
        assert len(responses) == len(requests), f"no response, only {bytes(client.received)!r}"
        client.close()
        return responses

    def received(self, upstream: str = "server") -> list[Request]:
        """Return the complete requests received by an origin, with their bodies in `content`."""
        return self._received[upstream]


def _serve(peer: Peer, *, handler: OriginHandler, received: list[Request]) -> None:
    at = 0

    def read(_: bytes) -> None:
        nonlocal at
        while (end := head_end(data := bytes(peer.received[at:]), LIMITS)) >= 0:
            request = parse_request(data[:end], LIMITS)
            body = _body(data[end:], request.body)
            if body is None:
                return
            request.content, rest = body
            at += len(data) - len(rest)
            received.append(request)
            response = handler(request)
            if response is not None:
                head = to_client(response, pseudonym="", body=len(response.content))
                peer.send(head if request.method == "HEAD" else head + response.content)

    peer.on_data = read


def _response(data: bytes, method: str, ended: bool) -> tuple[Response | None, bytes]:
    """Parse the final response, skipping 1xx ones; return it and the rest of the data.

    The response is None if the data does not contain all of it.
    """
    while (end := head_end(data, LIMITS)) >= 0:
        response = parse_response(data[:end], LIMITS, method)
        if response.status >= 200:
            body = _body(data[end:], response.body, ended)
            if body is None:
                break
            response.content, rest = body
            return response, rest
        data = data[end:]
    return None, data


def _body(data: bytes, body: Body, ended: bool = False) -> tuple[bytes, bytes] | None:
    """Return the body and the rest of the data; None: the body is not complete."""
    reader = body_reader(body, LIMITS, 502)
    content = reader.feed(data)
    if ended and not reader.over:
        reader.finish()
    return (content, reader.rest) if reader.over or ended else None


def _written(request: Request) -> bytes:
    """Return a request as bytes, with Host and Content-Length added if they are missing."""
    fields = Fields.of(request.fields)
    if request.host and "Host" not in fields:
        fields.add("Host", request.host)
    if request.content and "Content-Length" not in fields:
        fields.add("Content-Length", str(len(request.content)))
    line = f"{request.method} {request.target} HTTP/1.{request.version - 10}\r\n"
    return line.encode("latin-1") + fields.raw + b"\r\n" + request.content
