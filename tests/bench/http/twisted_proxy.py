"""Twisted's reverse proxy: `python -m tests.bench.http.twisted_proxy shipped|kept LISTEN SERVER`.

For each request it opens a connection to the server, with `Connection: close`. `shipped` is the
proxy without changes: it forwards the server's `Connection: close`, so clients must reconnect for
each request too. `kept` removes that field, so that connections of clients stay open.
"""

import sys

from twisted.internet import reactor
from twisted.web.proxy import ProxyClient, ProxyClientFactory, ReverseProxyResource
from twisted.web.resource import Resource
from twisted.web.server import Site

from tests.bench.relays import BACKLOG, LOOPBACK


class KeptClient(ProxyClient):  # type: ignore[misc]  # Twisted need not be installed for a check
    def handleHeader(self, key: bytes, value: bytes) -> None:  # noqa: N802
        if key.lower() != b"connection":
            super().handleHeader(key, value)


class KeptClientFactory(ProxyClientFactory):  # type: ignore[misc]
    protocol = KeptClient


class KeptProxy(ReverseProxyResource):  # type: ignore[misc]
    proxyClientFactoryClass = KeptClientFactory  # noqa: N815

    def getChild(self, path: bytes, _request: object) -> Resource:  # noqa: N802
        return KeptProxy(self.host, self.port, self.path + b"/" + path)


if __name__ == "__main__":
    style, listen, server = sys.argv[1:]
    proxy = {"shipped": ReverseProxyResource, "kept": KeptProxy}[style]
    site = Site(proxy(LOOPBACK, int(server), b""))
    reactor.listenTCP(int(listen), site, BACKLOG, LOOPBACK)
    reactor.run()
