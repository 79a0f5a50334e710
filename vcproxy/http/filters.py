"""Phases: the methods by which filters take part in the life of a request.

    request_head -> [request_body] -> route -> server_chosen -> [request_chunk ...]
        -> response_head -> [response_body] -> every_response -> [response_chunk ...] -> done
    and from anywhere: error -> every_response -> done

A phase that no filter overrides costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from vcproxy.engine.units import seconds
from vcproxy.engine.units import size as in_bytes
from vcproxy.messages.verdict import Defer
from vcproxy.sessions.line_limit import LineLimits

if TYPE_CHECKING:
    from vcproxy.engine.engine import Engine
    from vcproxy.engine.log_function import Level
    from vcproxy.http.message.messages import Request, Response
    from vcproxy.http.proxy.transaction import Transaction
    from vcproxy.upstream.upstream import Upstream

Then: TypeAlias = "Callable[[Transaction, Any], PhaseResult]"
"""Called with the awaited value; its result is used as the phase's result."""


class Wait:
    """Delays the request by `time`, as "250ms" or 0.25, then continues the phase.

    `then(tx, None)` is called after that and returns what the phase does; None: it goes on.
    """

    __slots__ = ("seconds", "then")

    def __init__(self, time: str | float, *, then: Then | None = None) -> None:
        self.seconds = seconds(time)
        self.then = then


class Subrequests:
    """Sends requests of the filter's own, all at once; the phase waits for the responses.

    Then `then(tx, responses)` is called and returns what the phase does. `responses` has a Response
    for each request, in their order, with the whole body in `content`, up to 1 MiB. A request that
    gets no response has one with the status 502, 503 or 504.

    The body of each request is its `content`, so a copy of a received `tx.request` has no body.
    `upstream` is where they are sent; None: to the upstream of the transaction.

    `timeout` and `shares` are durations, as "30s" or 30.0. With `shares`, equal requests of all
    clients on the net thread are sent once, with the forwarding fields of the first client: those
    that come before the response, or within `shares` after it, get the same response; with "0s"
    only the first. One with a status of 500 or more is not kept. None: they are sent for each.
    """

    __slots__ = ("requests", "shares_s", "then", "timeout_s", "upstream")

    def __init__(
        self,
        requests: Iterable[Request],
        *,
        then: Then,
        upstream: Upstream | None = None,
        timeout: str | float = "30s",
        shares: str | float | None = None,
    ) -> None:
        self.requests = tuple(requests)
        self.then = then
        self.upstream = upstream
        self.timeout_s = seconds(timeout)
        self.shares_s = None if shares is None else seconds(shares)


PhaseResult: TypeAlias = "Response | Defer | Wait | Subrequests | None"
"""What a phase returns. None: go on. A Response: send it to the client and contact no server. The
others: wait, then go on, or do what their `then` returns."""


CHUNK_PHASES = {"request_body": "request_chunk", "response_body": "response_chunk"}
"""Where one filter needs the whole body, the others' chunk phases get it as one chunk, in their
turn."""


class Phases:
    """What a filter, or a subclass of HttpProxy, may override.

    An exception in a phase ends the request: the client gets a 500 if no part of a response was
    sent, else its connection is reset. What the phase did not return is not forwarded.
    """

    __slots__ = ()

    body_limit: ClassVar[str] = "1MiB"
    """The largest body for `request_body` and `response_body`. A larger request is answered by 413,
    a larger response becomes a 502. Of several filters, the smallest limit counts."""

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        for body, chunk in CHUNK_PHASES.items():
            if all(getattr(cls, each) is not getattr(Phases, each) for each in (body, chunk)):
                raise TypeError(
                    f"{cls.__qualname__} overrides {chunk}(), which is never called: {body}() "
                    "has the whole body"
                )

    @classmethod
    def own_phases(cls) -> list[str]:
        """Return the names of the phases that the class overrides, in their order."""
        return [
            name for name in FilterChain.phases() if getattr(cls, name) is not getattr(Phases, name)
        ]

    def request_head(self, tx: Transaction) -> PhaseResult:
        """The head of a request is complete; its body was not read yet.

        When: first, for each valid request, before a route is chosen.
        Returns: None: go on. A Response: send it; no server is contacted. Defer, Subrequests or
            Wait: wait first.
        Default: go on.
        """

    def request_body(self, tx: Transaction, body: bytes) -> bytes | PhaseResult:
        """The whole body of the request is here, up to `body_limit`; b"" if it has none.

        When: after `request_head`, before a route is chosen. Not for CONNECT.
        Returns: bytes: forward them in place of the body. None: forward it unchanged. Others: as
            in `request_head`.
        Default: the body is not buffered.
        """

    def route(self, tx: Transaction) -> PhaseResult:
        """`tx.route` and `tx.upstream` are set; `tx.upstream` may be changed to another of
        `tx.upstreams`.

        When: after the route was found, before a server is chosen; not if the route has an
            `answer`.
        Returns: as `request_head`.
        Default: go on to the configured upstream.
        """

    def server_chosen(self, tx: Transaction) -> PhaseResult:
        """There is a connection to `tx.server`; this is the last phase that may change the request.

        When: before the request is sent; again if it is sent again on another connection.
        Returns: as `request_head`.
        Default: go on.
        """

    def request_chunk(self, tx: Transaction, data: bytes) -> bytes:
        """A piece of the request's body is to be forwarded; b"" marks the end of the body.

        When: for each piece as it arrives, while the request is sent. Not without a body.
        Returns: the bytes to forward in its place; b"" forwards nothing yet.
        Default: `data`.
        """
        return data

    def response_head(self, tx: Transaction) -> PhaseResult:
        """The head of the server's response is complete; `tx.response` may be changed.

        When: after the request was sent, or while its body still is; not for 1xx except 101.
        Returns: None: go on. A Response: send it; the server's is dropped. Defer, Subrequests or
            Wait: wait first.
        Default: go on.
        """

    def response_body(self, tx: Transaction, body: bytes) -> bytes | PhaseResult:
        """The whole body of the response is here, up to `body_limit`.

        When: after `response_head`. Not for a response without a body, as to HEAD.
        Returns: bytes: forward them in place of the body. None: forward it unchanged. Others: as
            in `response_head`.
        Default: the body is not buffered.
        """

    def response_chunk(self, tx: Transaction, data: bytes) -> bytes:
        """A piece of the response's body is to be forwarded; b"" marks the end of the body.

        When: for each piece as it arrives, after `response_head`. Not without a body.
        Returns: the bytes to forward in its place; b"" forwards nothing yet.
        Default: `data`.
        """
        return data

    def every_response(self, tx: Transaction, response: Response) -> None:
        """A final response is about to be sent, whatever made it: a server, a filter, a route's
        `answer`, or the proxy itself, as for a 404. Its fields may be changed, and the `content` of
        a response that was made here.

        When: for each valid request, before the head of its response is sent. Not for 101, and not
            for the 200 of a CONNECT that opens a tunnel.
        Returns: nothing.
        Default: nothing is done.
        """

    def done(self, tx: Transaction) -> None:
        """The response was handed over for sending, or there will be none: see `tx.failure`.

        When: last, once for each transaction.
        Returns: nothing.
        Default: nothing is done.
        """

    def error(self, tx: Transaction) -> Response | None:
        """No server's response can be sent: see `tx.failure`.

        When: instead of the remaining phases, if no part of a response was sent; before `done`.
        Returns: a Response: send it in place of the proxy's own. None: keep the current one.
        Default: None.
        """
        return None


class Filter(Phases):
    """The base of filters. One object serves all requests of a listener and net thread.

    Keep the state of a single request in `tx.notes`.
    """

    vcproxy_filter: ClassVar[bool] = True
    listener: str = ""
    """The name of its listener, from the first request on: metrics are counted by it."""
    periodic: ClassVar[bool] = False
    """Whether the class declares methods with `every`."""
    engine: Engine
    """The engine of its net thread, from the first request on."""
    _line_limits: LineLimits | None = None  # for log_seldom; subclasses may lack our __init__

    def __init__(self, options: Any = None) -> None:
        """`options`: an instance of the filter's class `Options`, if it has one."""
        self.options = options

    @property
    def now(self) -> float:
        """The engine's time in seconds: see Continuation."""
        return self.engine.now

    @property
    def wall(self) -> int:
        """The time of day: see Continuation."""
        return self.engine.wall

    def log(self, text: object, level: Level = "info") -> None:
        """Log a line that begins with the listener's name. `level`: see Session."""
        self.engine.log(level, f"{self.listener}: {text}")

    def log_seldom(self, kind: str, text: object, level: Level = "info") -> None:
        """Log a line that any client can cause, at most ten in a minute of each kind: see
        Session."""
        if self._line_limits is None:
            self._line_limits = LineLimits()
        self._line_limits.of(kind).log(self.engine, level, f"{self.listener}: {text}")


Step = Callable[..., Any]

RESPONSE_PHASES = frozenset(
    {"response_head", "response_body", "response_chunk", "error", "every_response", "done"}
)
"""Phases called in reverse order: the last filter of the configuration first."""

SERVER_PHASES = (
    "route", "server_chosen", "request_chunk", "response_head", "response_body", "response_chunk",
)  # fmt: skip
"""Phases that are called only for requests that are sent to a server."""


@dataclass(frozen=True, slots=True)
class FilterChain:
    """The methods to call in each phase: those of the filters that override it."""

    request_head: tuple[Step, ...]
    request_body: tuple[Step, ...]
    route: tuple[Step, ...]
    server_chosen: tuple[Step, ...]
    request_chunk: tuple[Step, ...]
    response_head: tuple[Step, ...]
    response_body: tuple[Step, ...]
    response_chunk: tuple[Step, ...]
    error: tuple[Step, ...]
    every_response: tuple[Step, ...]
    done: tuple[Step, ...]
    late_head: tuple[Step, ...]
    """`request_head` of the duties that are called when the route has been found."""
    folder: Phases | None
    """The duty `folder`, which answers in place of a server; None: there is none."""
    request_limit: int
    """Bytes of a request's whole body: the smallest limit of the filters that need it."""
    response_limit: int
    """The same for a response's."""

    @classmethod
    def of(
        cls,
        filters: Sequence[Phases],
        *,
        duties: Sequence[Phases] = (),
        late: Sequence[Phases] = (),
        folder: Phases | None = None,
    ) -> FilterChain:
        """Return the chain of these filters, given in the order of the configuration.

        `duties` stand before the filters. Those among them that are `late` get the head of a
        request when its route has been found.
        """
        own = [(each, each.own_phases()) for each in (*duties, *filters)]

        def overriding(phase: str) -> list[Phases]:
            return [each for each, phases in own if phase in phases]

        def steps(phase: str) -> tuple[Step, ...]:
            found: list[Step] = []
            buffered = bool(overriding(phase))
            for each, phases in reversed(own) if phase in RESPONSE_PHASES else own:
                if phase in phases:
                    found.append(getattr(each, phase))
                elif buffered and CHUNK_PHASES.get(phase) in phases:
                    found.append(_as_one(getattr(each, CHUNK_PHASES[phase])))
            return tuple(found)

        def heads(wanted: bool) -> tuple[Step, ...]:
            return tuple(
                each.request_head
                for each in overriding("request_head")
                if any(each is other for other in late) is wanted
            )

        def limit(phase: str) -> int:
            return min((in_bytes(each.body_limit) for each in overriding(phase)), default=0)

        return cls(
            **{name: steps(name) for name in cls.phases()} | {"request_head": heads(False)},
            late_head=heads(True),
            folder=folder,
            request_limit=limit("request_body"),
            response_limit=limit("response_body"),
        )

    @property
    def used(self) -> bool:
        """Whether any filter overrides a phase."""
        return bool(self.late_head or self.folder) or any(
            getattr(self, name) for name in self.phases()
        )

    @classmethod
    def phases(cls) -> list[str]:
        """Return the names of all phases, in their order."""
        return [each.name for each in fields(cls) if hasattr(Phases, each.name)]


def _as_one(step: Step) -> Step:
    """Return a whole-body phase that calls a chunk phase."""

    def body_phase(tx: Transaction, body: bytes) -> bytes:
        return b"".join((step(tx, body), step(tx, b""))) if body else body

    return body_phase
