"""The log lines of datagram sessions: a flood of datagrams does not flood the log."""

from __future__ import annotations

from vcproxy.plugins.syslog import Syslog
from vcproxy.sessions.datagram_log import LINES, DatagramLog
from vcproxy.testing import SimulatedProxy

MESSAGE = b"<34>Oct 11 22:14:15 host su: text"


def test_so_many_lines_in_a_second_and_then_the_number_of_the_others() -> None:
    log = DatagramLog()
    lines = [log.line(f"line {number}", 5.0) for number in range(LINES + 3)]
    assert lines == [*(f"line {number}" for number in range(LINES)), "", "", ""]
    assert log.line("next", 6.0) == "next (3 lines of other senders were left out)"
    assert log.line("last", 6.1) == "last"


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
        assert proxy.log[-1].endswith(f"({100 - LINES} lines of other senders were left out)")
