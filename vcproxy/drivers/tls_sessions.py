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
from typing import Final, NamedTuple, final

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


class ServerNames(NamedTuple):
    """Which name is sent to a server, and which one its certificate must contain."""

    sent: str | None = None
    """"": none; None: that of the server's address."""
    verified: str | None = None
    """None: the one that is sent, or that of the server's address if none is sent."""

    @property
    def checked_by_openssl(self) -> bool:
        """Whether OpenSSL checks the name in the certificate: it can only check the sent one."""
        return self.verified is None and self.sent != ""


@final
class ClientTls:
    """What a driver needs for TLS connections to servers. Drivers on any thread may use it.

    A reload creates another ClientTls; when files change, it gets another context. The old sessions
    are dropped then, and each server is verified again.

    Args:
        context: from `client_context`, with `check_name=names.checked_by_openssl`.
        names: the names to send and to verify.
        resume: whether connections resume the last session with their server.
    """

    __slots__ = ("_context", "_last", "_lock", "_names", "_resume")

    def __init__(
        self, context: ssl.SSLContext, names: ServerNames | None = None, *, resume: bool = True
    ) -> None:
        self._context = context
        self._names = names or ServerNames()
        self._resume = resume
        self._last: dict[tuple[Hashable, str], LastSession] = {}
        self._lock = Lock()

    def take_over(self, new: ClientTls) -> None:
        """Use the context of another ClientTls for new connections."""
        with self._lock:
            self._context = new._context
            self._last = {}

    def connection(self, address: Hashable, host: str) -> TlsFilter:
        """Return the filter of a new connection; it resumes the last session if there is one.

        Args:
            address: where it is connected to.
            host: the name or IP address to send and to verify, unless others are set; "": none.
        """
        names = self._names
        sent = host if names.sent is None else names.sent
        last = None
        with self._lock:
            context = self._context
            if self._resume:
                key = address, sent
                last = self._last.pop(key, None) or LastSession()
                self._last[key] = last  # moved to the end: the longest unused is first
                if len(self._last) > MOST_SERVERS:
                    del self._last[next(iter(self._last))]
        verify = None
        if not names.checked_by_openssl and context.verify_mode is not ssl.CERT_NONE:
            verify = names.verified or sent or host
        return TlsFilter(
            context,
            server_side=False,
            server_hostname=sent or None,
            verify_name=verify,
            last=last,
        )
