"""Phases: where a filter may step in, in the life of a request.

    request_head -> [request_body] -> route -> server_chosen -> [request_chunk ...]
        -> response_head -> [response_body | response_chunk ...] -> done
    and from anywhere: error -> done

A phase that nobody overrides costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from vcproxy.engine.units import duration
from vcproxy.engine.units import size as in_bytes
from vcproxy.messages.verdict import Defer

if TYPE_CHECKING:
    from vcproxy.http.message.messages import Request, Response
    from vcproxy.http.proxy.transaction import Transaction
    from vcproxy.upstream.upstream import Upstream

Then: TypeAlias = "Callable[[Transaction, Any], Verdict]"
"""What is called on the loop with what came back; its verdict is the phase's."""


class Wait:
    """The phase takes this long, then the request goes on: a delay."""

    __slots__ = ("seconds",)
    then: ClassVar[Then | None] = None

    def __init__(self, time: str) -> None:
        self.seconds = duration(time)


class Ask:
    """The phase waits for the answers to requests of the filter's own, all at once.

    Then `then(tx, answers)` gives its verdict, with a Response for each request in their order,
    its whole body in `content`; what could not be asked has the status 502, 503 or 504. What is
    asked has the body that is its `content`: the transaction's own request is asked without one.
    `upstream` says who is asked; if left out, whoever the transaction's request would go to.
    """

    __slots__ = ("requests", "then", "timeout_s", "upstream")

    def __init__(
        self,
        requests: Iterable[Request],
        *,
        then: Then,
        upstream: Upstream | None = None,
        timeout: str = "30s",
    ) -> None:
        self.requests = tuple(requests)
        self.then = then
        self.upstream = upstream
        self.timeout_s = duration(timeout)


Verdict: TypeAlias = "Response | Defer | Wait | Ask | None"
"""What a phase says: None: go on; a Response: this is the answer, whatever a server may say."""


CHUNKS = {"request_body": "request_chunk", "response_body": "response_chunk"}
"""Where somebody wants the whole body, those who want chunks get it as one, in their turn."""


class Phases:
    """Where a filter, or a subclass of HttpProxy, steps in: it overrides what it is for.

    An exception is the end of that request: 500 if its answer has not begun, and what was not let
    through goes nowhere.
    """

    __slots__ = ()

    body_limit: ClassVar[str] = "1MiB"
    """What `request_body` and `response_body` take at most: more is 413, and 502. Of several
    filters, the strictest counts."""

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        for whole, chunks in CHUNKS.items():
            if all(getattr(cls, each) is not getattr(Phases, each) for each in (whole, chunks)):
                raise TypeError(
                    f"{cls.__qualname__} overrides {chunks}(), which is never called: {whole}() "
                    "has the whole body"
                )

    @classmethod
    def own_phases(cls) -> list[str]:
        """The phases that the class overrides, in their order."""
        return [
            name for name in FilterChain.phases() if getattr(cls, name) is not getattr(Phases, name)
        ]

    def request_head(self, tx: Transaction) -> Verdict:
        """A request has come; its body has not been looked at."""

    def request_body(self, tx: Transaction, body: bytes) -> bytes | Verdict:
        """Its whole body is here: return what goes on in its place; None: as it is."""

    def route(self, tx: Transaction) -> Verdict:
        """`tx.route` and `tx.upstream` are what the configuration says; `upstream` may be changed
        for another of `tx.upstreams`."""

    def server_chosen(self, tx: Transaction) -> Verdict:
        """There is a connection to `tx.server`: the last moment to change the request."""

    def request_chunk(self, tx: Transaction, data: bytes) -> bytes:
        """Some of its body is on its way: return what goes on in its place. b"" is the end."""
        return data

    def response_head(self, tx: Transaction) -> Verdict:
        """A server has answered; `tx.response` may be changed."""

    def response_body(self, tx: Transaction, body: bytes) -> bytes | Verdict:
        """The answer's whole body is here: return what goes on in its place; None: as it is."""

    def response_chunk(self, tx: Transaction, data: bytes) -> bytes:
        """Some of the answer is on its way: return what goes on in its place. b"" is the end."""
        return data

    def done(self, tx: Transaction) -> None:
        """The client has its answer, or will never have it: see `tx.failure`."""

    def error(self, tx: Transaction) -> Response | None:
        """No server's answer can be had: see `tx.failure`. Return another answer than ours."""
        return None


class Filter(Phases):
    """The base of filters: one object for each listener and net thread, given each transaction.

    What it wants to remember of a request it keeps in `tx.notes`.
    """

    vcproxy_filter: ClassVar[bool] = True

    def __init__(self, options: Any = None) -> None:
        """`options` are the filter's own, an instance of its class `Options` if it has one."""
        self.options = options


Step = Callable[..., Any]

BACK = frozenset({"response_head", "response_body", "response_chunk", "error", "done"})
"""The phases of the way back, on which the filter next to the server comes first."""

SERVED = (
    "route", "server_chosen", "request_chunk", "response_head", "response_body", "response_chunk",
)  # fmt: skip
"""The phases that only requests for a server come to."""


@dataclass(frozen=True, slots=True)
class FilterChain:
    """What is called in each phase: what was overridden, the first filter next to the client."""

    request_head: tuple[Step, ...]
    request_body: tuple[Step, ...]
    route: tuple[Step, ...]
    server_chosen: tuple[Step, ...]
    request_chunk: tuple[Step, ...]
    response_head: tuple[Step, ...]
    response_body: tuple[Step, ...]
    response_chunk: tuple[Step, ...]
    error: tuple[Step, ...]
    done: tuple[Step, ...]
    request_limit: int
    """Bytes of a request's whole body: what the strictest of those takes that want it."""
    response_limit: int
    """The same for an answer's."""

    @classmethod
    def of(cls, filters: Sequence[Phases]) -> FilterChain:
        """Return the chain of some filters."""
        own = [(each, each.own_phases()) for each in filters]

        def wanting(phase: str) -> list[Phases]:
            return [each for each, phases in own if phase in phases]

        def steps(phase: str) -> tuple[Step, ...]:
            found: list[Step] = []
            wanted = bool(wanting(phase))
            for each, phases in reversed(own) if phase in BACK else own:
                if phase in phases:
                    found.append(getattr(each, phase))
                elif wanted and CHUNKS.get(phase) in phases:
                    found.append(_as_one(getattr(each, CHUNKS[phase])))
            return tuple(found)

        def limit(phase: str) -> int:
            return min((in_bytes(each.body_limit) for each in wanting(phase)), default=0)

        return cls(
            **{name: steps(name) for name in cls.phases()},
            request_limit=limit("request_body"),
            response_limit=limit("response_body"),
        )

    @classmethod
    def phases(cls) -> list[str]:
        """The names of all phases, in their order."""
        return [each.name for each in fields(cls) if hasattr(Phases, each.name)]


def _as_one(step: Step) -> Step:
    """A phase of chunks, for whole bodies."""

    def whole(tx: Transaction, body: bytes) -> bytes:
        return b"".join((step(tx, body), step(tx, b""))) if body else body

    return whole
