"""How the end of a tunnel is shown in the access log. Tested in tests/access_log/test_record.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vcproxy.access_log.ending import By
from vcproxy.engine.failures import Exhausted
from vcproxy.tunnels.done import Reason

if TYPE_CHECKING:
    from vcproxy.tunnels.done import TunnelDone

_BY = {
    Reason.INACTIVITY: By.CLIENT_TIMEOUT,
    Reason.ACTIVE: By.POLICY,
    Reason.LAGGED: By.LAG,
    Reason.FRAMING: By.CLIENT,
    Reason.UNEXPECTED_DATA: By.CLIENT,
}


def ended_by(done: TunnelDone, client: str) -> By | None:
    """Return what has ended the tunnel of a client with that name; None: nothing has failed."""
    if done.reason in _BY:
        return _BY[done.reason]
    error = done.error
    if error is None:
        return None
    if isinstance(error, Exhausted | MemoryError):
        return By.RESOURCE
    late = isinstance(error, TimeoutError)
    if done.ended_by == client:
        return By.CLIENT_TIMEOUT if late else By.CLIENT
    return By.SERVER_TIMEOUT if late else By.SERVER
