"""Resolver: resolves host names to addresses on threads, with the system's resolver."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from vcproxy.drivers.epoll.thread_pool import Job, ThreadPool
from vcproxy.engine.failures import NotResolved

if TYPE_CHECKING:
    from vcproxy.engine.address import Address

THREADS = 32
"""More than for other work: different names may need different name servers, and a name server that
does not reply blocks its thread for a long time."""


def resolve(host: str) -> list[str]:
    """Return the numeric addresses of a host, in the system's order of preference. It blocks.

    Raises NotResolved, with the host's name in its text.
    """
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError as error:
        why = str(error.strerror).lower()
        raise NotResolved(f"cannot resolve {host}: {why}") from error
    return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))


@dataclass(slots=True, eq=False)
class Lookup:
    """One request for the addresses of a name."""

    address: Address
    done: Callable[[list[Address], Exception | None], None]


@dataclass(slots=True, eq=False)
class _PendingName:
    """A name that is being looked up, and all requests for it."""

    lookups: list[Lookup] = field(default_factory=list)
    job: Job | None = None


class Resolver:
    """Resolves host names; simultaneous requests for one name share one look-up.

    Any thread may call the methods.
    """

    def __init__(self, resolve: Callable[[str], list[str]] = resolve) -> None:
        self._resolve = resolve
        self._pool = ThreadPool("names", THREADS)
        self._lock = threading.Lock()
        self._pending: dict[str, _PendingName] = {}

    def look_up(
        self, address: Address, done: Callable[[list[Address], Exception | None], None]
    ) -> Lookup:
        """Resolve an address's host; `done(addresses, error)` is called on another thread."""
        lookup = Lookup(address, done)
        host = address.host
        with self._lock:
            pending = self._pending.get(host)
            if pending is not None:
                pending.lookups.append(lookup)
                return lookup
            pending = self._pending[host] = _PendingName([lookup])

        def resolved(value: object, error: Exception | None) -> None:
            with self._lock:
                if self._pending.get(host) is pending:
                    del self._pending[host]
            hosts = value if isinstance(value, list) else []
            for each in pending.lookups:
                each.done([replace(each.address, host=name) for name in hosts], error)

        pending.job = self._pool.run(self._resolve, (host,), resolved)
        return lookup

    def cancel(self, lookup: Lookup) -> None:
        """Cancel a request: `done` is not called. The look-up ends with its last request."""
        host = lookup.address.host
        with self._lock:
            pending = self._pending.get(host)
            if pending is None or lookup not in pending.lookups:
                return
            pending.lookups.remove(lookup)
            if pending.lookups:
                return
            del self._pending[host]
        if pending.job is not None:
            self._pool.cancel(pending.job)
