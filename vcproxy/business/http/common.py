"""Common: what all clients of one listener have in common, on one engine."""

from __future__ import annotations

from typing import TYPE_CHECKING
from zlib import crc32

from vcproxy.business.http.fetch import Mirror
from vcproxy.business.http.origins import Origins
from vcproxy.business.http.phases import Chain, Phases
from vcproxy.http.heads import Heads
from vcproxy.http.sender import Sender

if TYPE_CHECKING:
    from vcproxy.business.http.options import Options
    from vcproxy.business.service import Service
    from vcproxy.engine.engine import Engine

SENDERS = 1024
"""Clients' addresses of which is remembered what servers are told."""


class Common:
    """Made by the first client, and used by all that come after."""

    __slots__ = ("_mark", "_options", "_senders", "chain", "filters", "heads", "mirror", "origins")

    def __init__(self, service: Service, engine: Engine) -> None:
        options: Options = service.options  # type: ignore[assignment]
        self._options = options
        token = engine.token
        # Two listeners of a process are two proxies: one may be behind the other.
        self._mark = f"{crc32(f'{token} {service.name}'.encode()):08x}" if token else ""
        self._senders: dict[tuple[str, bool], Sender] = {}
        self.filters: tuple[Phases, ...] = tuple(make() for make in service.filters)
        self.chain = Chain.of(self.filters)
        """What the filters want to be called for."""
        self.heads = Heads(options.limits, engine)
        """The heads that have been seen."""
        self.origins = Origins(engine)
        """The servers that clients have named."""
        self.mirror = Mirror(engine)
        """Who sends copies of requests."""

    @classmethod
    def of(cls, service: Service, engine: Engine) -> Common:
        """Return that of a listener."""
        common = service.shared.get(cls)
        if not isinstance(common, Common):
            common = service.shared[cls] = cls(service, engine)
        return common

    def sender(self, address: str, secure: bool) -> Sender:
        """Return what servers are told of a client."""
        sender = self._senders.get((address, secure))
        if sender is None:
            options = self._options
            sender = Sender(
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
