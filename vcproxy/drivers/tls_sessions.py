"""ClientTls: a client's context, and the TLS session that it last made with each server.

A connection that resumes a session sends and verifies no certificate: the server proves itself by
the session's key. So a session is used only where its own verification holds: with the same
context, the same address and the same server name, and while the certificate has not expired.
"""

from __future__ import annotations

import ssl
from collections.abc import Hashable
from threading import Lock
from time import time
from typing import Final, final

from vcproxy.drivers.tls import TlsFilter

MOST_SERVERS: Final = 256
"""Limit of sessions of one context; beyond it the longest unused one is dropped. Each takes about 5
to 12 KiB (measured with OpenSSL 3.0), more with a long chain of certificates."""


@final
class LastSession:
    """The last TLS session with one server, if it can be resumed. See TlsFilter."""

    __slots__ = ("_session", "_until")

    def __init__(self) -> None:
        self._session: ssl.SSLSession | None = None
        self._until = 0.0

    def get(self) -> ssl.SSLSession | None:
        """Return the session, or None if there is none or its time is over."""
        if self._session is not None and time() >= self._until:
            self._session = None
        return self._session

    def keep(self, session: ssl.SSLSession, expiry: float) -> None:
        """Keep a session until its lifetime or its certificate ends.

        Args:
            session: a session that can be resumed.
            expiry: when the server's certificate expires, in seconds since 1970.
        """
        lifetime = session.ticket_lifetime_hint or session.timeout
        self._until = min(session.time + lifetime, expiry)
        self._session = session

    def forget(self) -> None:
        """Forget the session: the handshake that offered it has failed."""
        self._session = None


@final
class ClientTls:
    """What a driver needs for TLS connections to servers. Drivers on any thread may use it.

    A reload creates another ClientTls; when files change, it gets another context. The old sessions
    are dropped then, and each server is verified again.
    """

    __slots__ = ("_context", "_last", "_lock")

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        self._last: dict[tuple[Hashable, str], LastSession] = {}
        self._lock = Lock()

    def take_over(self, new: ClientTls) -> None:
        """Use the context of another ClientTls for new connections."""
        with self._lock:
            self._context = new._context
            self._last = {}

    def connection(self, address: Hashable, server_name: str) -> TlsFilter:
        """Return the filter of a new connection; it resumes the last session if there is one.

        Args:
            address: where it is connected to.
            server_name: the name or IP address that the certificate must contain; "": none.
        """
        key = address, server_name
        with self._lock:
            last = self._last.pop(key, None) or LastSession()
            self._last[key] = last  # moved to the end: the longest unused is first
            if len(self._last) > MOST_SERVERS:
                del self._last[next(iter(self._last))]
            context = self._context
        return TlsFilter(context, server_side=False, server_hostname=server_name or None, last=last)
