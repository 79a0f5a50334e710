"""ListenerContext: what all clients of one listener have in common, on one engine."""

from __future__ import annotations

from typing import TYPE_CHECKING
from zlib import crc32

from vcproxy.http.message.head_cache import HeadCache
from vcproxy.http.message.client_fields import ClientFields
from vcproxy.http.proxy.subrequests import RequestMirror
from vcproxy.http.proxy.filters import FilterChain, Phases
from vcproxy.http.proxy.origins import Origins

if TYPE_CHECKING:
    from vcproxy.engine.engine import Engine
    from vcproxy.http.proxy.options import Options
    from vcproxy.sessions.service import Service

SENDERS = 1024
"""Clients' addresses of which is remembered what servers are told."""


class ListenerContext:
    """Made by the first client, and used by all that come after."""

    __slots__ = ("_mark", "_options", "_senders", "chain", "filters", "heads", "mirror", "origins")

    def __init__(self, service: Service, engine: Engine) -> None:
        options: Options = service.options  # type: ignore[assignment]
        self._options = options
        token = engine.token
        # Two listeners of a process are two proxies: one may be behind the other.
        self._mark = f"{crc32(f'{token} {service.name}'.encode()):08x}" if token else ""
        self._senders: dict[tuple[str, bool], ClientFields] = {}
        self.filters: tuple[Phases, ...] = tuple(make() for make in service.filters)
        self.chain = FilterChain.of(self.filters)
        """What the filters want to be called for."""
        self.heads = HeadCache(options.limits, engine)
        """The heads that have been seen."""
        self.origins = Origins(engine)
        """The servers that clients have named."""
        self.mirror = RequestMirror(engine)
        """Who sends copies of requests."""

    @classmethod
    def of(cls, service: Service, engine: Engine) -> ListenerContext:
        """Return that of a listener."""
        common = service.shared.get(cls)
        if not isinstance(common, ListenerContext):
            common = service.shared[cls] = cls(service, engine)
        return common

    def sender(self, address: str, secure: bool) -> ClientFields:
        """Return what servers are told of a client."""
        sender = self._senders.get((address, secure))
        if sender is None:
            options = self._options
            sender = ClientFields(
                address,
                secure,
                pseudonym=options.via,
                mark=self._mark,
                style=options.forwarded,
                trusted=options.trusts(address),
            )
            if len(self._senders) >= SENDERS:
                self._senders.clear()
            self._senders[address, secure] = sender
        return sender
