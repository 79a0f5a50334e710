"""forward: connects each client to a server of the upstream, and moves bytes both ways."""

from vcproxy.api import Forwarder


class Forward(Forwarder):
    """A Forwarder with its defaults: all clients are served, and no byte is changed."""

    __slots__ = ()

    datagrams = True
