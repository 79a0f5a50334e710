"""SimulatedHttp: filters in an HTTP proxy, between one who asks and origins that answer.

    with SimulatedHttp(Stamp()) as proxy:
        answer = proxy.ask(Request("GET", "/", host="a.example"))
        assert answer.status == 200
        assert proxy.asked()[0].fields["X-Stamp"] == "7"

All of it is in memory and in virtual time, and messages are read as strictly as the proxy does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from vcproxy.http.message.body import body_reader
from vcproxy.http.message.fields import Fields
from vcproxy.http.message.forwarding import to_client
from vcproxy.http.message.limits import MessageLimits
from vcproxy.http.message.messages import Request, Response
from vcproxy.http.message.parsing import head_end, parse_request, parse_response
from vcproxy.http.proxy.connection import HttpProxy
from vcproxy.http.proxy.filters import Phases
from vcproxy.http.proxy.options import Options
from vcproxy.testing.proxy import SimulatedProxy

if TYPE_CHECKING:
    from vcproxy.drivers.sim import Peer
    from vcproxy.http.message.messages import Body

Answering: TypeAlias = Callable[[Request], Response | None]
"""What an origin says to a request, whose whole body is in `content`; None: nothing."""

LIMITS = MessageLimits()


def ok(request: Request) -> Response:
    """What an origin says that was told nothing else."""
    return Response(200, {"Content-Type": "text/plain"}, b"ok\n")


class SimulatedHttp(SimulatedProxy):
    """An HTTP proxy with filters, one origin for each upstream, and a client for each request.

    Args:
        filters: in the order of the option `filters`.
        answer: what the origin of the listener's upstream says.
        upstreams: other upstreams, and what the origin of each says.
        plugin: the class with phases of its own, if it is one that is tested.
        options: of the plugin, as routes and limits.
        keywords: see SimulatedProxy: `answers`, `refusing`, `seed`, `faults` ...
    """

    def __init__(
        self,
        *filters: Phases,
        answer: Answering = ok,
        upstreams: Mapping[str, Answering] | None = None,
        plugin: type[HttpProxy] = HttpProxy,
        options: Options | None = None,
        **keywords: Any,
    ) -> None:
        origins = {"server": answer, **(upstreams or {})}
        self._asked: dict[str, list[Request]] = {name: [] for name in origins}
        super().__init__(
            plugin,
            filters=filters,
            upstreams={name: (name,) for name in upstreams or {}},
            options=options or Options(),
            on_connect={
                name: partial(_serve, said=said, heard=self._asked[name])
                for name, said in origins.items()
            },
            **keywords,
        )

    def ask(self, request: Request, here: str = "") -> Response:
        """Send a request on a connection of its own; return the answer, its body in `content`.

        The client's IP address is `here`, or any. Raises AssertionError if there is no answer, and
        what a filter raised.
        """
        return self.ask_all(request, here=here)[0]

    def ask_all(self, *requests: Request, here: str = "") -> list[Response]:
        """Send requests one behind the other on one connection; return the answers."""
        client = self.client(here=here)
        client.send(b"".join(map(_written, requests)))
        waiting, answers = list(requests), list[Response]()

        def read() -> bool:
            data = bytes(client.received)
            answers.clear()
            for request in waiting:
                answer, data = _answer(data, request.method, client.ended)
                if answer is None:
                    return client.ended or client.reset_seen
                answers.append(answer)
            return True

        self.sim.run(until=read)
        assert len(answers) == len(requests), f"no answer, but {bytes(client.received)!r}"
        client.close()
        return answers

    def asked(self, upstream: str = "server") -> list[Request]:
        """The requests that have come to an origin, whole, their bodies in `content`."""
        return self._asked[upstream]


def _serve(peer: Peer, *, said: Answering, heard: list[Request]) -> None:
    at = 0

    def read(_: bytes) -> None:
        nonlocal at
        while (end := head_end(data := bytes(peer.received[at:]), LIMITS)) >= 0:
            request = parse_request(data[:end], LIMITS)
            whole = _whole(data[end:], request.body)
            if whole is None:
                return
            request.content, rest = whole
            at += len(data) - len(rest)
            heard.append(request)
            answer = said(request)
            if answer is not None:
                head = to_client(answer, pseudonym="", body=len(answer.content))
                peer.send(head if request.method == "HEAD" else head + answer.content)

    peer.on_data = read


def _answer(data: bytes, method: str, ended: bool) -> tuple[Response | None, bytes]:
    """The final answer at the beginning of some bytes, and what lies behind it."""
    while (end := head_end(data, LIMITS)) >= 0:
        answer = parse_response(data[:end], LIMITS, method)
        if answer.status >= 200:
            whole = _whole(data[end:], answer.body, ended)
            if whole is None:
                break
            answer.content, rest = whole
            return answer, rest
        data = data[end:]
    return None, data


def _whole(data: bytes, body: Body, ended: bool = False) -> tuple[bytes, bytes] | None:
    """A body and what lies behind it; None: it is not all there."""
    reader = body_reader(body, LIMITS, 502)
    content = reader.feed(data)
    if ended and not reader.over:
        reader.finish()
    return (content, reader.rest) if reader.over or ended else None


def _written(request: Request) -> bytes:
    """A request as its client sends it: only what it must have is added."""
    fields = Fields.of(request.fields)
    if request.host and "Host" not in fields:
        fields.add("Host", request.host)
    if request.content and "Content-Length" not in fields:
        fields.add("Content-Length", str(len(request.content)))
    line = f"{request.method} {request.target} HTTP/1.{request.version - 10}\r\n"
    return line.encode("latin-1") + fields.raw + b"\r\n" + request.content
