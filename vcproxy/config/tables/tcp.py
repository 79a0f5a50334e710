"""The table of TCP: [listener.tcp] and [upstream.NAME.tcp].

Tested in tests/config/test_problems.py and test_loader.py.
"""

from typing import Annotated

from pydantic import AfterValidator

from vcproxy.config.values import Duration, Table


def _whole_seconds(seconds: float) -> float:
    if seconds and not 1 <= seconds <= 32767:  # maximum of TCP_KEEPIDLE, see tcp(7)
        raise ValueError('must be "0s", or between 1s and 32767s')
    return seconds


class TcpTable(Table):
    """How to detect a peer that has disappeared without closing, after a power or network failure.
    For TCP and TLS."""

    keepalive: Annotated[Duration, AfterValidator(_whole_seconds)] = 60.0
    """After this time without data the kernel probes the peer. If there is no reply within the same
    time again, the connection fails. "0s": no probes."""

    user_timeout: Duration = 0.0
    """How long sent data may remain unacknowledged (TCP_USER_TIMEOUT). "0s": the system's default,
    about 15 minutes. It also closes connections to a live peer that reads nothing for this time:
    choose more than the longest pause of a reader."""
