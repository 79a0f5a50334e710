"""Host: the driver operations that listeners need; EpollHost: the same on real sockets.

Recorded, replayed and simulated hosts are in vcproxy.replay.hosts and vcproxy.testing.configured.
Tested in tests/e2e.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from vcproxy.config.certificate_folder import pairs_in
from vcproxy.listeners.plan import place_of

if TYPE_CHECKING:
    import socket

    from vcproxy.config.tables.tls import ListenerTls, UpstreamTls
    from vcproxy.drivers.epoll.driver import EpollDriver
    from vcproxy.drivers.handshake_parameters import HandshakeParameters
    from vcproxy.engine.address import Address
    from vcproxy.engine.listener import Listener
    from vcproxy.listeners.plan import Place


class Host(Protocol):
    """Binds addresses and makes TLS contexts."""

    def listen(self, address: Address, listener: Listener) -> Address:
        """Accept connections at an address; return it with its real port. Raises OSError."""

    def unlisten(self, listener: Listener, address: Address | None = None) -> None:
        """Stop accepting for a listener, at one address or at all of them."""

    def hand_over(self, address: Address, old: Listener, new: Listener) -> None:
        """Accept at an address for the listener `new` instead of `old` from now on."""

    def renew(self, address: Address, listener: Listener) -> None:
        """Apply a listener's TCP options at an address. Bind a Unix socket whose file is gone.

        Errors are logged.
        """

    def server_tls(self, tls: ListenerTls) -> object:
        """Return the TLS context for clients of a listener. Raises ValueError."""

    def client_tls(self, tls: UpstreamTls) -> object:
        """Return the TLS context for connections to servers. Raises ValueError."""


class TlsFiles:
    """Makes TLS contexts from the files named in a configuration. See Host."""

    resumes = True
    """Whether connections to servers may resume TLS sessions."""

    def server_tls(self, tls: ListenerTls) -> object:
        """See Host."""
        from vcproxy.drivers.certificate_choice import Identity
        from vcproxy.drivers.tls_context import server_context

        names = {name: Identity(pair.certificate, pair.key) for name, pair in tls.names.items()}
        pairs = tls.certificates
        if tls.certificate_folder is not None:
            try:
                pairs += pairs_in(tls.certificate_folder)
            except OSError as error:
                folder = tls.certificate_folder
                raise ValueError(f"certificate_folder {folder}: {error.strerror}") from None
        return server_context(
            tls.certificate,
            tls.key,
            client_ca=tls.client_ca,
            client_optional=tls.client_verify == "optional",
            alpn=tls.alpn,
            names=names,
            certificates=[Identity(pair.certificate, pair.key) for pair in pairs],
            parameters=_parameters(tls),
        )

    def client_tls(self, tls: UpstreamTls) -> object:
        """See Host. Connections resume the last TLS session with their server."""
        from vcproxy.drivers.tls_context import client_context
        from vcproxy.drivers.tls_sessions import ClientTls, ServerNames

        names = ServerNames(tls.server_name, tls.verify_name)
        context = client_context(
            ca=tls.ca,
            verify=tls.verify,
            check_name=names.checked_by_openssl,
            certificate=tls.certificate,
            key=tls.key,
            alpn=tls.alpn,
            parameters=_parameters(tls),
        )
        return ClientTls(context, names, resume=tls.resume and self.resumes)


def _parameters(tls: ListenerTls | UpstreamTls) -> HandshakeParameters:
    from vcproxy.drivers.handshake_parameters import HandshakeParameters

    return HandshakeParameters(tls.min_version, tls.max_version, tls.ciphers, tls.groups)


class EpollHost(TlsFiles):
    """A host on real sockets. See Host.

    An inherited socket, from `inherited`, is used instead of a new one; each is used once.
    """

    def __init__(self, driver: EpollDriver, inherited: dict[Place, socket.socket]) -> None:
        self._driver = driver
        self._inherited = inherited
        self.unlisten = driver.unlisten
        self.hand_over = driver.hand_over

    def listen(self, address: Address, listener: Listener) -> Address:
        """See Host."""
        return self._driver.listen(address, listener, self._take(address, listener))

    def renew(self, address: Address, listener: Listener) -> None:
        """See Host."""
        self._driver.renew(address, listener, self._take(address, listener))

    def _take(self, address: Address, listener: Listener) -> socket.socket | None:
        return self._inherited.pop(place_of(listener.name, address), None)
