"""Hosts: where the listeners of a running proxy are, by the driver that accepts for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vcproxy.config import schema
    from vcproxy.drivers.epoll.driver import EpollDriver
    from vcproxy.engine.address import Address
    from vcproxy.engine.listener import Listener


class TlsFiles:
    """What a host shows of itself, and whom it trusts: from the files that are named. See Host."""

    def server_tls(self, tls: schema.ListenerTls) -> object:
        """See Host."""
        from vcproxy.drivers.tls_context import Identity, server_context

        names = {name: Identity(pair.certificate, pair.key) for name, pair in tls.names.items()}
        return server_context(
            tls.certificate, tls.key, client_ca=tls.client_ca, alpn=tls.alpn, names=names
        )

    def client_tls(self, tls: schema.UpstreamTls) -> object:
        """See Host."""
        from vcproxy.drivers.tls_context import client_context

        return client_context(ca=tls.ca, verify=tls.verify)


class EpollHost(TlsFiles):
    """A host on sockets. See Host."""

    def __init__(self, driver: EpollDriver) -> None:
        self._driver = driver
        self.unlisten = driver.unlisten
        self.hand_over = driver.hand_over
        self.renew = driver.renew

    def listen(self, address: Address, listener: Listener) -> Address:
        """See Host."""
        return self._driver.listen(address, listener)
