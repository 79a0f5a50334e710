"""How a request has ended, as its record in the access log has it: by its Failure, and how far the
exchange had come.

Tested in tests/http/proxy/test_access_log.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vcproxy.access_log.ending import By, End, Phase
from vcproxy.access_log.record import cause_of
from vcproxy.engine.lifecycle import NOT_YET

if TYPE_CHECKING:
    from vcproxy.http.message.bad_message import BadMessage
    from vcproxy.http.proxy.exchange import Exchange
    from vcproxy.http.proxy.failure import Failure

_BY_ERROR = {
    "http_request_denied": By.POLICY,
    "proxy_loop_detected": By.POLICY,
    "destination_unavailable": By.SERVER,
    "destination_not_found": By.LOCAL,
}
"""What ends a request, by the error type of its Failure; others by the party."""

_BY_PARTY = {"client": By.CLIENT, "server": By.SERVER, "plugin": By.INTERNAL, "proxy": By.INTERNAL}
_BY_STATUS = {413: By.POLICY, 501: By.POLICY}


def request_end(exchange: Exchange, failure: Failure) -> End:
    """Return the end of a request that has failed."""
    of_client = failure.party == "client"
    vc = exchange.client.vc if of_client else exchange.server.vc
    error = None if vc is None or failure.party == "plugin" else vc.error
    if error is None:
        by = _by(failure)
    else:
        by = By(cause_of(error, "C", "c") if of_client else cause_of(error, "S", "s"))
    return End(by, request_phase(exchange))


def _by(failure: Failure) -> By:
    """Return what has ended a request, if no connection has failed."""
    error = failure.error
    if error.endswith("_timeout"):
        return By.SERVER_TIMEOUT
    if failure.status == 408 and failure.party == "client":
        return By.CLIENT_TIMEOUT
    by = _BY_ERROR.get(error) or _BY_STATUS.get(failure.status)
    return by or _BY_PARTY[failure.party]


def request_phase(exchange: Exchange) -> Phase:
    """Return the phase in which a request is."""
    record, server = exchange.tx.record, exchange.server.vc
    if exchange.state is exchange.TUNNELLING or (record is not None and record.responding):
        return Phase.DATA
    if record is not None and record.selected:
        upload = exchange.upload
        return Phase.WAITING if upload is None or upload.consumed else Phase.DATA
    if exchange.state is exchange.CONNECTING:
        waiting = server is None or server.started_at == NOT_YET
        return Phase.QUEUE if waiting else Phase.CONNECTING
    return Phase.REQUEST


def refused_end(problem: BadMessage) -> End:
    """Return the end of what is no valid request."""
    if problem.status == 408:
        return End(By.CLIENT_TIMEOUT, Phase.REQUEST)
    cut = problem.why.startswith("connection closed")
    return End(By.CLIENT if cut else By.POLICY, Phase.REQUEST)
