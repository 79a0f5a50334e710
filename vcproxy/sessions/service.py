"""Service: a listener's configuration, as its sessions use it, on one engine.

Tested in tests/sessions/test_session.py and test_reload.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from vcproxy.engine.address import Address
from vcproxy.upstream.upstream import Upstream

if TYPE_CHECKING:
    from vcproxy.access_log.log import AccessLog
    from vcproxy.admission.admission import Admission

T = TypeVar("T")


@dataclass(slots=True)
class Service:
    """Passed to every session of a listener. A reload creates a new one for new connections.

    Only its counters, its shared objects and `draining` change.
    """

    name: str
    """The listener's name."""
    bound: tuple[Address, ...] = ()
    """The addresses that the listener listens at, with the real ports."""
    options: object = None
    """The plugin's `Options`, or None if it has none."""
    upstream: Upstream | None = None
    """The listener's upstream."""
    upstreams: Mapping[str, Upstream] = field(default_factory=dict)
    """The listener's upstream, and those that the options name, by name."""
    filters: tuple[Callable[[], Any], ...] = ()
    """Factories of the filters that the options name, in their order."""
    connect_tls: object = None
    """The driver's TLS context for the addresses that the options name; None if none is tls://."""
    connect_s: float = 5.0
    """Seconds to connect to a server, with its handshake. 0: no limit, as for the times below."""
    inactivity_s: float = 300.0
    """Seconds without a byte either way."""
    active_s: float = 0.0
    """Seconds that a connection may last."""
    half_close: bool = True
    """Whether one direction may continue after the other has ended."""
    admission: Admission | None = None
    """The listener's rules of admission, for plugins that count requests; None: there are none."""
    draining: bool = False
    """Whether no new session will be started, because the proxy stops or a new configuration is in
    use: clients that are connected should connect again."""
    counts: Counter[str] = field(default_factory=Counter, compare=False)
    """Counters of its sessions, by name. They are kept by a reload, and exported as metrics."""
    shared: dict[object, object] = field(default_factory=dict, compare=False)
    """Objects that its sessions share."""
    persistent: dict[object, object] = field(default_factory=dict, compare=False)
    """Objects that are kept by a reload: all services of the listener share them. For objects
    that must exist only once, such as a single connection to a server."""
    access_log: AccessLog | None = field(default=None, compare=False)
    """The access log of the listener on this engine; None: it has none."""
    origin: object = None
    """The configuration that the service was made from. Two services of a listener with equal
    origins behave the same."""

    def share(self, kind: type[T]) -> T:
        """Return the one object of a class that all sessions share; the first call creates it.

        It belongs to this engine and needs no lock. A reload creates another one. Its methods that
        are declared with `every` are called from then on.
        """
        shared = self.shared.get(kind)
        if not isinstance(shared, kind):
            shared = self.shared[kind] = kind()
            if getattr(kind, "periodic", False):
                self.start_work(shared, self.options)
        return shared

    def start_work(self, owner: object, options: object) -> None:
        """Begin to call the methods that a shared object or a filter declares with `every`.

        `options`: those of the object. Raises TypeError: see `every`.
        """
        from vcproxy.engine.mutex import current
        from vcproxy.sessions.service_work import ServiceWork  # few services have periodic work

        engine: Any = current.engine  # that of the net thread: an Engine
        assert engine is not None, "it is called on a net thread"
        ServiceWork(engine, self, owner).start(options)
