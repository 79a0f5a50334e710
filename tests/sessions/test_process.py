"""stop_proxy and reload_proxy, called by a session and by a filter."""

from __future__ import annotations

from vcproxy.api import (
    Accept,
    Filter,
    Reject,
    Transaction,
    Validator,
    Verdict,
    lines,
    reload_proxy,
    stop_proxy,
)
from vcproxy.http.message.messages import Request
from vcproxy.testing import SimulatedHttp, SimulatedProxy


class Operated(Validator):
    """Clients stop and reload the proxy by messages."""

    framing = lines()

    def check(self, message: bytes) -> Verdict:
        """Do what the message says."""
        if message == b"stop":
            stop_proxy(self.engine)
        elif message == b"reload":
            reload_proxy(self.engine)
        else:
            return Accept()
        return Reject(b"done\n", keep=True)


def test_a_session_stops_and_reloads_the_proxy() -> None:
    with SimulatedProxy(Operated) as proxy:
        client = proxy.client()
        client.send(b"reload\nreload\n")
        proxy.run()
        assert (proxy.reloads, proxy.stopped) == (2, False)
        client.send(b"stop\n")
        proxy.run()
        assert (proxy.reloads, proxy.stopped) == (2, True)
        assert client.received == b"done\n" * 3


class Admin(Filter):
    """Each request reloads the proxy."""

    def request_head(self, tx: Transaction) -> None:
        """Reload."""
        reload_proxy(tx.engine)


def test_a_filter_reloads_the_proxy() -> None:
    with SimulatedHttp(Admin()) as proxy:
        proxy.send(Request("GET", "/", host="a.example"))
        assert (proxy.reloads, proxy.stopped) == (1, False)
