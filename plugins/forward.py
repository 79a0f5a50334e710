"""forward: connects each client to a server, and moves bytes both ways.

Without options, all clients go to the listener's upstream. With routes, TLS clients are distributed
by the server name (SNI) and the application protocols (ALPN) that they ask for, without decrypting:

    [[listener.options.routes]]
    sni = ["a.example", "*.b.example"]
    upstream = "a"
"""

from __future__ import annotations

from vcproxy import api


class Forward(api.Forwarder):
    """A Forwarder with its defaults: all clients are served, and no byte is changed."""

    __slots__ = ()

    datagrams = True

    @classmethod
    def with_options(cls) -> type[api.Session]:
        """Return TlsRouter: see Session."""
        return api.TlsRouter
