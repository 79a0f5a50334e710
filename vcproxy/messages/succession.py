"""Succession: the shared connections of a listener, over its reloads.

There is one for each upstream. A new one connects only when all those of earlier configurations
have closed, because a server may allow only one connection.

Tested in tests/messages/test_devices.py and tests/sessions/test_reload.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vcproxy.messages.shared_connection import SharedConnection
    from vcproxy.sessions.service import Service
    from vcproxy.upstream.upstream import Upstream

RETIRE, PREDECESSOR_CLOSED = "RETIRE", "PREDECESSOR_CLOSED"
"""Tags: the shared connection of a new configuration waits; that of an old one has closed."""


class Succession:
    """The place of one shared connection among the others of its listener."""

    __slots__ = ("_connection", "_predecessors", "_service", "_successors", "place")

    def __init__(self, connection: SharedConnection, service: Service, place: str) -> None:
        """Register a connection as the latest one to an upstream. See `latest`."""
        self._connection = connection
        self._service = service
        self.place = place
        """The name of the upstream."""
        self._predecessors = [
            each for each in shared_connections(service.persistent) if not each.serves(service)
        ]
        self._successors: list[SharedConnection] = []  # they wait until this one has closed
        service.persistent[Succession, place] = connection

    def serves(self, service: Service) -> bool:
        """Return whether sessions of a service may share the connection, unless it has closed."""
        return not self._successors and self._service.origin == service.origin

    def may_connect(self) -> bool:
        """Return whether all predecessors have closed. If not, they get RETIRE: PREDECESSOR_CLOSED
        follows when one of them has closed."""
        self._predecessors = [each for each in self._predecessors if not each.closed]
        for each in self._predecessors:
            each.engine.schedule(each, RETIRE, self._connection)
        return not self._predecessors

    def retire(self, successor: SharedConnection) -> bool:
        """Note a successor, after RETIRE; return whether it is the first one."""
        if successor not in self._successors:
            self._successors.append(successor)
        return len(self._successors) == 1

    def leave(self) -> None:
        """Unregister the connection, which closes."""
        persistent, key = self._service.persistent, (Succession, self.place)
        if persistent.get(key) is self._connection:
            del persistent[key]
        for each in self._successors:
            each.engine.schedule(each, PREDECESSOR_CLOSED, None)


def latest(service: Service, place: str) -> SharedConnection | None:
    """Return the latest shared connection of a listener to an upstream; None: there is none."""
    found: Any = service.persistent.get((Succession, place))
    return found  # type: ignore[no-any-return]


def shared_connections(persistent: Mapping[object, object]) -> list[SharedConnection]:
    """Return all shared connections among the objects of a listener that survive reloads."""
    found: list[Any] = [
        each
        for key, each in list(persistent.items())
        if isinstance(key, tuple) and key[0] is Succession
    ]
    return found


def is_replaced(service: Service) -> bool:
    """Return whether there are connections of a newer configuration, with other settings."""
    others = shared_connections(service.persistent)
    return service.draining and any(not (each.closed or each.serves(service)) for each in others)


def upstream_of(service: Service, name: str) -> Upstream:
    """Return an upstream of a listener. Raises LookupError for another name."""
    if service.upstream is not None and service.upstream.name == name:
        return service.upstream
    if name in service.upstreams:
        return service.upstreams[name]
    raise LookupError(f"{service.name}: place() has named {name!r}, which is no upstream of its")
