"""ListenerContext: what all sessions of one listener share, on one engine.

Tested in tests/http/proxy/test_reload.py and test_proxied_filters.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from zlib import crc32

from vcproxy.http.duties.duty import DutyPhases
from vcproxy.http.filters import Filter
from vcproxy.http.message.client_fields import ClientFields
from vcproxy.http.message.direct_heads import DirectHeads
from vcproxy.http.message.head_cache import HeadCache
from vcproxy.http.proxy.chains import Chains
from vcproxy.http.proxy.direct_requests import DirectRequests
from vcproxy.http.proxy.origins import Origins
from vcproxy.http.proxy.request_counts import RequestCounts
from vcproxy.http.proxy.request_mirror import RequestMirror
from vcproxy.http.proxy.transaction import TransactionContext

if TYPE_CHECKING:
    from vcproxy.engine.engine import Engine
    from vcproxy.engine.net import NetVConnection
    from vcproxy.http.duties.duty import Scheme
    from vcproxy.http.proxy.connection_log import ConnectionLog
    from vcproxy.http.proxy.options import Options
    from vcproxy.http.proxy.record_templates import RecordTemplates
    from vcproxy.http.proxy.shared_subrequests import SharedSubrequests
    from vcproxy.sessions.service import Service

MAX_CLIENTS = 1024
"""Clients whose TransactionContext is kept."""


class ListenerContext:
    """Created by the listener's first session, and shared by all later ones."""

    __slots__ = (
        "_access_log",
        "_clients",
        "_direct_requests",
        "_engine",
        "_mark",
        "_name",
        "_options",
        "_service",
        "_shared_subrequests",
        "_upstreams",
        "chains",
        "counts",
        "direct_heads",
        "heads",
        "mirror",
        "origins",
        "record_templates",
    )  # fmt: skip

    def __init__(self, service: Service, engine: Engine) -> None:
        options: Options = service.options  # type: ignore[assignment]
        self._options = options
        token = engine.token
        # A mark for each listener: one listener may forward to another without being a loop.
        self._mark = f"{crc32(f'{token} {service.name}'.encode()):08x}" if token else ""
        self._engine = engine
        self._name = service.name
        self._upstreams = service.upstreams
        self.counts = RequestCounts(engine, service.name)
        """The responses and the times of the requests; reloads keep them."""
        self._clients: dict[tuple[str, bool], TransactionContext] = {}
        filters = tuple(make() for make in service.filters)
        self.chains = Chains(options, filters)
        """The phases that the filters and the duties override."""
        for key, duty in self.chains.duties:
            if isinstance(duty, DutyPhases):
                duty.key = key
        for each in (*filters, *(duty for _, duty in self.chains.duties)):
            if isinstance(each, Filter):
                each.listener = service.name
                each.engine = engine
                if each.periodic:
                    service.start_work(each, each.options)
        self.heads = HeadCache(options.limits, engine)
        """The parsed and the forwarded heads."""
        self.direct_heads = DirectHeads(options.limits, options.via)
        """The heads that may be passed on directly."""
        self._direct_requests: dict[str, DirectRequests] = {}
        self._service = service
        self._access_log = service.access_log
        self.record_templates: RecordTemplates | None = None
        """Write the records of requests in the access log; None: not yet, or there is none."""
        self._shared_subrequests: SharedSubrequests | None = None
        self.origins = Origins(engine)
        """Servers addressed by forward-proxy and CONNECT requests."""
        self.mirror = RequestMirror(engine, options.limits, service.counts)
        """Sends copies of requests."""

    @classmethod
    def of(cls, service: Service, engine: Engine) -> ListenerContext:
        """Return the context of a listener; create it at the first call."""
        context = service.shared.get(cls)
        if not isinstance(context, ListenerContext):
            context = service.shared[cls] = cls(service, engine)
        return context

    @property
    def shared_subrequests(self) -> SharedSubrequests:
        """Sends the subrequests of filters that share responses."""
        if self._shared_subrequests is None:
            from vcproxy.http.proxy.shared_subrequests import SharedSubrequests  # few filters do

            self._shared_subrequests = SharedSubrequests(self._engine, self._options.limits)
        return self._shared_subrequests

    def direct_requests(self, scheme: Scheme) -> DirectRequests:
        """Return the requests that may be passed on directly, and where they go, of clients that
        use this scheme. It makes a difference to duties only."""
        name = scheme if self._options.any_duties else ""
        found = self._direct_requests.get(name)
        if found is None:
            found = DirectRequests(self._service, self.direct_heads, self.heads, scheme)
            self._direct_requests[name] = found
        return found

    def follow(self, client: NetVConnection) -> ConnectionLog | None:
        """Return the access log of a client's connection; None: the listener has none."""
        log, record = self._access_log, client.record
        if log is None or record is None:
            return None
        from vcproxy.http.proxy.connection_log import ConnectionLog  # most proxies need none
        from vcproxy.http.proxy.record_templates import RecordTemplates

        templates = self.record_templates
        if templates is None:
            assert client.listener is not None
            values = {
                "kind": "http",
                "listener": client.listener.name,
                "plugin": getattr(record, "plugin", None),
            }
            pattern = log.pattern("http").filled(values)
            templates = self.record_templates = RecordTemplates(
                log, pattern, self.heads, self._options
            )
        client.record = made = ConnectionLog(log, templates, client)
        return made

    def client(self, address: str, secure: bool) -> TransactionContext:
        """Return what the transactions of a client share."""
        known = self._clients.get((address, secure))
        if known is None:
            options = self._options
            fields = ClientFields(
                address,
                secure,
                pseudonym=options.via,
                mark=self._mark,
                style=options.forwarded,
                trusted=options.trusts(address),
            )
            known = TransactionContext(
                self._engine,
                address,
                secure,
                self._upstreams,
                self.mirror,
                fields,
                listener=self._name,
                source=options.client_from,
            )
            if len(self._clients) >= MAX_CLIENTS:
                self._clients.clear()
            self._clients[address, secure] = known
        return known
