"""Admission of requests: `rate` for each, and `allow` and `deny` behind trusted proxies.

The address of a client that is connected itself was checked when it connected. A trusted proxy
names its clients in each request. Tested in tests/http/proxy/test_admission.py.
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

from vcproxy.admission.refusal import Refusal
from vcproxy.http.proxy.ending import fail
from vcproxy.http.proxy.failure import Failure

if TYPE_CHECKING:
    from vcproxy.admission.admission import Admission
    from vcproxy.http.proxy.exchange import Exchange
    from vcproxy.machine.state import State


def denial() -> Failure:
    """Return the Failure for a client whose address is not admitted: 403."""
    return Failure(403, "client", "this address is not admitted", "http_request_denied")


def refuse_excess(exchange: Exchange, admission: Admission) -> State | None:
    """Answer 403 or 429 if the client of a request is not admitted, or sends too many; None: it is
    admitted."""
    tx, listener = exchange.tx, exchange.client.vc.listener
    address = tx.client
    if exchange.client.context.fields.trusted and not admission.permits(address):
        refusal, why, failure = Refusal.DENIED, admission.why_not, denial()
    else:
        requests = admission.requests
        if requests is None:
            return None
        exceeded = requests.take(requests.keys(address), exchange.engine.now)
        if exceeded is None:
            return None
        wait_s, rate = exceeded
        refusal, why = Refusal.RATE, f"more than {rate.text}"
        text = "too many requests from this client"
        failure = Failure(429, "client", text, "http_request_denied", retry_s=ceil(wait_s))
    assert listener is not None
    listener.count_refusal(exchange.engine, refusal, address, why)
    return fail(exchange, failure, logged=False)
