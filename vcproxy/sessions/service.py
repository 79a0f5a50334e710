"""Service: what a listener's configuration means to its sessions, on one engine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from vcproxy.engine.address import Address
from vcproxy.upstream.upstream import Upstream

T = TypeVar("T")


@dataclass(slots=True)
class Service:
    """Given to every session; a reload makes a new one for new connections.

    Nothing of it changes but what is counted and shared, and whether it is `closing`.
    """

    name: str
    """The listener's."""
    bound: tuple[Address, ...] = ()
    """Where it listens, with real ports."""
    options: object = None
    """The plugin's own `Options`, or None if it has none."""
    upstream: Upstream | None = None
    """The listener's."""
    upstreams: Mapping[str, Upstream] = field(default_factory=dict)
    """By their names: the listener's, and those that the options name."""
    filters: tuple[Callable[[], Any], ...] = ()
    """What makes the filters that the options name, in their order."""
    connect_tls: object = None
    """What a driver needs to speak TLS to the addresses that the options name; None if none of
    them is tls://."""
    connect_s: float = 5.0
    """Seconds for a connection to a server, its handshake included. 0: no limit, as below."""
    inactivity_s: float = 300.0
    """Seconds without a byte either way."""
    active_s: float = 0.0
    """Seconds that a connection may last."""
    half_close: bool = True
    """Whether one direction may go on when the other has ended."""
    closing: bool = False
    """Whether no session will begin any more, as the proxy stops or another configuration is in
    use: a client that is served had better connect anew."""
    counts: Counter[str] = field(default_factory=Counter, compare=False)
    """What has happened to its sessions, by name."""
    shared: dict[object, object] = field(default_factory=dict, compare=False)
    """What its sessions have in common."""
    lasting: dict[object, object] = field(default_factory=dict, compare=False)
    """The same, with those of the listener's services before and after a reload: what there may be
    one of only, as a server's connection."""
    origin: object = None
    """What it was made from. Two services of a listener with equal origins do the same."""

    def share(self, kind: type[T]) -> T:
        """Return the one object of a class that all sessions have; the first one makes it.

        It is this engine's alone and needs no lock; a reload makes another for new connections.
        """
        shared = self.shared.get(kind)
        if not isinstance(shared, kind):
            shared = self.shared[kind] = kind()
        return shared
