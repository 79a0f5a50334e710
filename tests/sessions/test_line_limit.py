"""The log is not flooded: neither by datagrams, nor by requests for a device that is away."""

from __future__ import annotations

from vcproxy.plugins.split import Split
from vcproxy.plugins.syslog import Syslog
from vcproxy.sessions.line_limit import LINES
from vcproxy.testing import SimulatedProxy


def test_a_server_that_is_away_does_not_flood_the_log() -> None:
    """Each sender has a session, and each session has no server."""
    with SimulatedProxy(
        Syslog,
        options=Syslog.Options(),
        datagrams=True,
        server_datagrams=False,
        refusing=["server"],
    ) as proxy:
        for _ in range(100):
            proxy.datagram_client().send(b"<34>Oct 11 22:14:15 host su: text")
        proxy.elapse(0.5)
        assert proxy.service.counts["unserved"] == 100
        assert len(proxy.log) == LINES
        assert all("no server is left" in line for line in proxy.log)
        proxy.elapse(1)
        proxy.datagram_client().send(b"<34>Oct 11 22:14:15 host su: text")
        proxy.elapse(0.5)
        assert proxy.log[-1].endswith(f"({100 - LINES} such lines were left out)")


def test_a_device_that_is_away_does_not_flood_the_log() -> None:
    with SimulatedProxy(Split, options=Split.Options(), refusing=["server"]) as proxy:
        for _ in range(100):
            proxy.client().send(b'{"id": 1}\n')
            proxy.elapse(0.1)
        assert proxy.service.counts["unanswered"] == 100
        lines = [line for line in proxy.log if "shared connection" in line]
        assert len(lines) == LINES
        assert all("no server is left" in line for line in lines)
        proxy.elapse(60)
        proxy.client().send(b'{"id": 1}\n')
        proxy.elapse(0.1)
        [*_, last] = [line for line in proxy.log if "shared connection" in line]
        assert last.endswith(f"({100 - LINES} such lines were left out)")
