"""How an exchange ends without a server's complete response: own responses, failures, resets.

Each function returns the final state of the exchange. Tested in tests/http/proxy/test_clients.py,
test_servers.py and test_proxied_filters.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vcproxy.engine.plugin_error import as_error
from vcproxy.http.duties.duty import DutyPhases
from vcproxy.http.message.bad_message import BadMessage
from vcproxy.http.proxy.failure import Failure, invalid_request
from vcproxy.http.proxy.own_responses import check_sendable, error_response
from vcproxy.http.proxy.refused_message import refused_message

if TYPE_CHECKING:
    from vcproxy.http.filters import Step
    from vcproxy.http.message.messages import Response
    from vcproxy.http.proxy.exchange import Exchange
    from vcproxy.http.proxy.failure import Party
    from vcproxy.machine.state import State


OWN = "vcproxy"
"""What has made a response: the proxy itself."""


def respond(exchange: Exchange, response: Response, by: str) -> State:
    """Send this response in place of a server's, and drop the server's connection. `by`: what has
    made it, for the access log."""
    filter_own(exchange, response)
    client, record, content = exchange.client, exchange.tx.record, response.content
    if record is not None:
        record.answered(exchange, by, 0 if exchange.bodiless else len(content))
    keep, head = begin_response(exchange, response, len(content))
    client.wire.send(head if exchange.bodiless else head + content)
    return end(exchange, keep)


def filter_own(exchange: Exchange, response: Response) -> None:
    """Call `every_response` for a response that is sent in place of a server's."""
    for step in exchange.chain.every_response:
        try:
            step(exchange.tx, response)
        except BaseException as raised:
            _log_filter(exchange, "in every_response() of", as_error(raised))


def begin_response(exchange: Exchange, response: Response, length: int) -> tuple[bool, bytes]:
    """Prepare a response in place of a server's; return whether the connection may carry another
    request after it, and its head. `length`: bytes of its body."""
    exchange.drop_server()
    exchange.tx.response = response
    keep = exchange.can_keep_alive
    return keep, exchange.client.head(response, exchange.version, keep, length)


def fail_as(exchange: Exchange, status: int, party: Party, why: str, error: str) -> State:
    """Send an error response: see Failure."""
    return fail(exchange, Failure(status, party, why, error))


def fail_with(exchange: Exchange, error: Exception, party: Party) -> State:
    """Send an error response: a party violated the protocol, or a filter failed."""
    return fail(exchange, failure_of(exchange, error, party))


def fail(exchange: Exchange, failure: Failure, *, logged: bool = True) -> State:
    """Send an error response: the proxy's own, or that of a filter. `logged`: with a log line."""
    tx, client = exchange.tx, exchange.client
    tx.failure = failure
    if tx.record is not None:
        tx.record.failed(exchange, failure)
    if logged:
        exchange.log(f"{failure.status} for {tx!r}{_at_server(exchange)}: {failure}")
    client.service.counts[str(failure.status)] += 1
    if failure.party == "server":
        exchange.server.report_failure(failure.why)
    if failure.party == "client" and failure.status not in (404, 429):
        exchange.keep_alive = False
    response, by = error_response(failure, client.options.via), OWN
    for step in exchange.chain.error:
        try:
            own = step(tx)
            if own is not None:
                response, by = check_sendable(own), filter_name(step)
        except BaseException as raised:
            _log_filter(exchange, "in error() of", as_error(raised))
    return respond(exchange, response, by)


def filter_name(step: Step) -> str:
    """Return the name of the filter, or the key of the duty, that has this step, for the access
    log."""
    owner = getattr(step, "__self__", step)
    return owner.key if isinstance(owner, DutyPhases) else type(owner).__name__


def failure_of(exchange: Exchange, error: Exception, party: Party) -> Failure:
    """Log an exception and return its Failure: that of `party` for a BadMessage, else that of the
    plugin."""
    if isinstance(error, BadMessage):
        names = {"listener": exchange.client.service.name, "client": exchange.name}
        if party == "server":
            names["server"] = exchange.tx.server
        refused_message(error, exchange.engine, **names)
        if party == "client":
            return invalid_request(error)
        # The text quotes the server: it is logged, and not sent to the client.
        exchange.log(f"invalid response to {exchange.tx!r}: {error}")
        return Failure(502, party, f"response violates {error.rfc}", "http_protocol_error")
    _log_filter(exchange, "at", error)
    return Failure(500, "plugin", type(error).__name__, "proxy_internal_error")


def client_left(exchange: Exchange) -> State | None:
    """Abort if the client has failed; a mere half-close may be ignored: see ClientSide.failure."""
    failure = exchange.client.failure
    return None if failure is None else abort(exchange, failure)


def abort(exchange: Exchange, failure: Failure) -> State:
    """Reset the client's connection after a part of the response was sent, so that the client
    detects that it is incomplete."""
    exchange.tx.failure = failure
    if exchange.tx.record is not None:
        exchange.tx.record.failed(exchange, failure)
    exchange.log(f"response aborted: {exchange.tx!r}{_at_server(exchange)}: {failure}")
    if failure.party == "server":
        exchange.server.report_failure(failure.why)
    error = ConnectionAbortedError(str(failure))
    exchange.drop_server(error)
    exchange.client.vc.do_io_close(error)
    end(exchange, keep=False)
    return exchange.ABORTED


def end(exchange: Exchange, keep: bool) -> State:
    """End the transaction: call `done`. `keep`: the connection may carry another request."""
    for step in exchange.chain.done:
        try:
            step(exchange.tx)
        except BaseException as raised:
            _log_filter(exchange, "in done() of", as_error(raised))
    return exchange.KEPT if keep else exchange.CLOSED


def _log_filter(exchange: Exchange, where: str, error: Exception) -> None:
    text = f"{exchange.name}: filter failed {where} {exchange.tx!r}"
    exchange.engine.log("error", text, error)


def _at_server(exchange: Exchange) -> str:
    """The server or the upstream of the request, for logs only."""
    tx = exchange.tx
    where = tx.server or (f"upstream {tx.upstream.name}" if tx.upstream is not None else "")
    return f" at {where}" if where else ""
