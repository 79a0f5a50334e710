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
    from vcproxy.http.message.direct_heads import DirectHeads
    from vcproxy.http.message.messages import Request
    from vcproxy.http.proxy.options import Options
    from vcproxy.sessions.service import Service
    from vcproxy.upstream.upstream import Upstream


class DirectRequest(NamedTuple):
    """A request that may be passed on; or, without a request line, what several such requests have
    in common."""

    head: bytes
    """The head that is forwarded, up to the lines that are added for the client."""
    host: str
    """See Request."""
    upstream: Upstream | None
    """The upstream of the request; None: it depends on the target."""
    key: str | None
    """The key for balancing, see Upstream.connect; None: the client's address."""


_ORDINARY: Final = DirectRequest(b"", "", None, None)
"""Stands for fields that take the ordinary path."""


class DirectRequests:
    """Finds the DirectRequest for the head of a request: by the whole head, then by its fields."""

    __slots__ = ("_by_fields", "_by_head", "_heads", "_options", "_parsed", "_service", "known")

    def __init__(self, service: Service, heads: DirectHeads, parsed: HeadCache) -> None:
        self._service = service
        self._options: Options = service.options  # type: ignore[assignment]
        self._heads = heads
        self._parsed = parsed
        self._by_head = RepeatCache[DirectRequest]()
        self._by_fields = RepeatCache[DirectRequest]()
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
        lines, host, upstream, key = common
        if upstream is None:
            upstream, key = self._place(self._parsed.request(head))
            if upstream is None:
                return None
        request = DirectRequest(head[:line] + lines, host, upstream, key)
        if len(head) <= MAX_SIZE and self._by_head.seen_before(head):
            self._by_head.store(head, request)
        return request

    def _read(self, head: bytes, fields: bytes) -> DirectRequest:
        """Return what all requests with these fields have in common."""
        frequent = len(fields) <= MAX_SIZE and self._by_fields.seen_before(fields)
        found = self._heads.request(fields)
        if found is None and frequent:
            found = self._heads.parsed_request(head)
        if found is None:
            common = _ORDINARY
        else:
            upstream: Upstream | None = None
            key = None
            if self._options.table.only(found.host) is not None:
                upstream, key = self._place(self._parsed.request(head))
                if upstream is None:
                    found = None
            common = DirectRequest(found.lines, found.host, upstream, key) if found else _ORDINARY
        if frequent:
            self._by_fields.store(fields, common)
        return common

    def _place(self, request: Request) -> tuple[Upstream | None, str | None]:
        """Return the upstream for a request, and the key for balancing. Without an upstream the
        request takes the ordinary path."""
        route = destination(request, self._options)
        if not isinstance(route, Route) or route.answer or route.declared or route.without:
            return None, None
        service = self._service
        upstream = service.upstreams[route.upstream] if route.upstream else service.upstream
        if upstream is None:
            return None, None
        settings = upstream.settings
        if settings.balance != "hash":
            return upstream, None
        return upstream, balance_key(request.fields, settings.hash_by)
