"""DirectRequests: which requests of a listener may be passed on directly, and where they go.

Tested in tests/http/direct.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from vcproxy.http.message.head_cache import MAX_SIZE, HeadCache, RepeatCache
from vcproxy.http.proxy.balance_key import balance_key
from vcproxy.http.proxy.destination import destination
from vcproxy.http.proxy.routing import Route

if TYPE_CHECKING:
    from vcproxy.http.duties.duty import Scheme
    from vcproxy.http.message.direct_heads import DirectHeads
    from vcproxy.http.message.messages import Request
    from vcproxy.http.proxy.direct_plan import DirectAnswer, DirectPlan
    from vcproxy.http.proxy.options import Options
    from vcproxy.sessions.service import Service
    from vcproxy.upstream.upstream import Upstream


class DirectRequest(NamedTuple):
    """A request that may be passed on."""

    head: bytes
    """The head that is forwarded, up to the lines that are added for the client."""
    host: str
    """See Request."""
    upstream: Upstream | None
    """The upstream of the request; None: it has an `answer`."""
    key: str | None
    """The key for balancing, see Upstream.connect; None: the client's address."""
    heads: DirectHeads
    """Finds the responses that may be passed back."""
    answer: DirectAnswer | None = None
    """The response of a duty, in place of a server's."""


class Place(NamedTuple):
    """Where a request goes."""

    upstream: Upstream | None
    """None: duties answer all requests."""
    key: str | None
    """See DirectRequest."""
    plan: DirectPlan | None
    """What the duties of the route do; None: it has none."""


class SameFields(NamedTuple):
    """What requests with the same fields have in common."""

    lines: bytes
    """The lines that are forwarded, without those that are added for the client."""
    host: str
    """See Request."""
    place: Place | None
    """Where they go; None: it depends on the target."""


_ORDINARY: Final = SameFields(b"", "", None)
"""Stands for fields that take the ordinary path."""


class DirectRequests:
    """Finds the DirectRequest for the head of a request: by the whole head, then by its fields. It
    serves clients whose requests arrive by one scheme."""

    __slots__ = (
        "_by_fields", "_by_head", "_heads", "_options", "_parsed", "_plans", "_scheme", "_service",
        "known",
    )  # fmt: skip

    def __init__(
        self, service: Service, heads: DirectHeads, parsed: HeadCache, scheme: Scheme
    ) -> None:
        self._service = service
        self._options: Options = service.options  # type: ignore[assignment]
        self._heads = heads
        self._parsed = parsed
        self._scheme = scheme
        self._plans: dict[int, DirectPlan | None] = {}
        self._by_head = RepeatCache[DirectRequest]()
        self._by_fields = RepeatCache[SameFields]()
        self.known = self._by_head.get
        """Return the DirectRequest for a head; None: unknown, so call `find`."""

    def find(self, head: bytes) -> DirectRequest | None:
        """Return the DirectRequest for a head; None: the request takes the ordinary path."""
        line = self._heads.request_line(head)
        if line is None:
            return None
        fields = head[line:]
        common = self._by_fields.get(fields)
        if common is None:
            common = self._read(head, fields)
        if common is _ORDINARY:
            return None
        lines, host, place = common
        if place is None:
            place = self._place(self._parsed.request(head))
            if place is None:
                return None
        upstream, key, plan = place
        if plan is None:
            request = DirectRequest(head[:line] + lines, host, upstream, key, self._heads)
        else:
            request = self._planned(head, line, lines, host, place, plan)
        if upstream is None and request.answer is None:
            return None
        if len(head) <= MAX_SIZE and self._by_head.seen_before(head):
            self._by_head.store(head, request)
        return request

    def _read(self, head: bytes, fields: bytes) -> SameFields:
        """Return what all requests with these fields have in common."""
        frequent = len(fields) <= MAX_SIZE and self._by_fields.seen_before(fields)
        found = self._heads.request(fields)
        if found is None and frequent:
            found = self._heads.parsed_request(head)
        if found is None:
            common = _ORDINARY
        else:
            place = None
            if self._options.table.only(found.host) is not None:
                place = self._place(self._parsed.request(head))
                if place is None:
                    found = None
            common = SameFields(found.lines, found.host, place) if found else _ORDINARY
        if frequent:
            self._by_fields.store(fields, common)
        return common

    def _planned(
        self, head: bytes, line: int, lines: bytes, host: str, place: Place, plan: DirectPlan
    ) -> DirectRequest:
        """Return a request as the duties of its route change or answer it."""
        answer = plan.answer(self._parsed.request(head))
        forwarded = plan.request_line(head[:line]) + plan.lines(lines)
        return DirectRequest(forwarded, host, place.upstream, place.key, plan.heads, answer)

    def _place(self, request: Request) -> Place | None:
        """Return where a request goes. None: it takes the ordinary path."""
        route = destination(request, self._options)
        if not isinstance(route, Route) or route.answer is not None:
            return None
        plan = None
        options = self._options
        if options.declared or route.declared or options.user_fields is not None:
            plan = self._plan(route)
            if plan is None:
                return None
        service = self._service
        upstream = service.upstreams[route.upstream] if route.upstream else service.upstream
        if upstream is None:
            return None if plan is None else Place(None, None, plan)
        settings = upstream.settings
        if settings.balance != "hash":
            return Place(upstream, None, plan)
        return Place(upstream, balance_key(request.fields, settings.hash_by), plan)

    def _plan(self, route: Route) -> DirectPlan | None:
        number = id(route)  # the options keep it
        if number not in self._plans:
            from vcproxy.http.proxy.direct_plan import direct_plan  # most proxies have no duties

            self._plans[number] = direct_plan(self._options, route, self._scheme)
        return self._plans[number]
