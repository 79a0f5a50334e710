"""How an exchange gets its request to a server: filters, body, destination, connection, sending.

Each function returns the next state of the exchange, or None: it stays. Tested in
tests/http/proxy/test_clients.py, test_servers.py, test_bodies.py and test_proxied_filters.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vcproxy.engine.event import Event
from vcproxy.http.message.bad_message import BadMessage
from vcproxy.http.message.forwarded_client import forwarded_client
from vcproxy.http.message.forwarding import max_forwards
from vcproxy.http.message.messages import Response
from vcproxy.http.proxy.deadline import NEVER
from vcproxy.http.proxy.destination import destination
from vcproxy.http.proxy.ending import OWN, client_left, fail, fail_as, fail_with, respond
from vcproxy.http.proxy.failure import Failure
from vcproxy.http.proxy.filtering import call_filters
from vcproxy.http.proxy.routing import Route
from vcproxy.http.proxy.tunnelling import ESTABLISHED, start_tunnel
from vcproxy.http.proxy.upload import TOO_SLOW, Upload

if TYPE_CHECKING:
    from vcproxy.http.proxy.exchange import Exchange
    from vcproxy.http.proxy.sent_request import SentRequest
    from vcproxy.machine.state import State

CONNECT = "CONNECT"
"""Tag: all that had arrived in this turn was read; a connection may be chosen."""

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def begin(exchange: Exchange) -> State | None:
    """Refuse a request that loops; call the first filters."""
    client, request = exchange.client, exchange.tx.request
    chain = exchange.chain
    if request.body != 0 or chain.request_body or chain.request_chunk:
        exchange.upload = Upload(client, exchange.tx)
    if client.context.fields.trusted:
        options = client.options
        found = forwarded_client(request.fields, options.client_from, options.trusts_ip)
        exchange.tx.client = found or exchange.tx.client
    admission = client.service.admission
    if admission is not None:
        from vcproxy.http.proxy.admitting import refuse_excess  # most proxies admit all requests

        refused = refuse_excess(exchange, admission)
        if refused is not None:
            return refused
    if b"via" in request.fields.control and client.context.fields.is_looping(request):
        why = "request loop: its Via names this proxy; a server forwards to this proxy"
        return fail_as(exchange, 502, "proxy", why, "proxy_loop_detected")
    steps = chain.request_head
    if not steps:
        return request_head_filtered(exchange)
    return call_filters(exchange, steps, request_head_filtered, exchange.FILTERING_REQUEST)


def resume(exchange: Exchange, sent: SentRequest) -> None:
    """Go on with a request that was sent on the direct path: await its response."""
    tx, client, server = exchange.tx, exchange.client, exchange.server
    tx.route = sent.route
    if sent.route is not None and client.chains.varied:
        exchange.chain = client.chains.find(sent.route)
    for step in (*client.chains.base.request_head, *exchange.chain.late_head):
        step(tx)  # changes the head as it was sent, for the case that it is sent again
    tx.upstream = sent.upstream
    server.resume(sent.server, sent.idle_s, sent.before)
    wire = server.wire
    wire.pending = sent.arrived
    if sent.unsent:
        wire.send(sent.unsent)
    times = client.options.timeouts
    longest_s = min(times.first_byte or NEVER, times.active or NEVER)
    client.deadline.set_at(sent.began_s + longest_s)
    if wire.has_news:
        wire.reads.signal(Event.READ_READY)


def request_head_filtered(exchange: Exchange) -> State | None:
    """Go on after `request_head`: collect the body if a filter needs it, or route."""
    request, upload, wire = exchange.tx.request, exchange.upload, exchange.client.wire
    if request.method == "TRACE":
        return fail_as(exchange, 501, "client", "TRACE is not supported", "http_request_error")
    if request.method == "OPTIONS" and max_forwards(request) == 0:
        return respond(exchange, Response(204), OWN)
    if upload is None or not exchange.chain.request_body or request.method == "CONNECT":
        return find_destination(exchange)
    if request.expects_continue and not wire.pending:
        wire.send(CONTINUE)
    return collect_request(exchange)


def collect_request(exchange: Exchange) -> State | None:
    """Read the part of the body that arrived; once it is complete, call the filters with it."""
    upload, client = exchange.upload, exchange.client
    assert upload is not None
    try:
        body = upload.collect()
    except BadMessage as problem:
        return fail_with(exchange, problem, "client")
    if body is None:
        if upload.collected_too_slowly:
            return fail(exchange, TOO_SLOW)
        times = client.options.timeouts
        exchange.set_deadline(min(times.body or NEVER, times.stalled or NEVER))
        return exchange.at(exchange.BUFFERING_REQUEST)
    steps = exchange.chain.request_body
    return call_filters(exchange, steps, request_body_filtered, exchange.FILTERING_REQUEST, body)


def request_body_filtered(exchange: Exchange) -> State | None:
    """Go on after `request_body`: forward the body with Content-Length."""
    assert exchange.upload is not None
    assert exchange.body is not None
    exchange.tx.request.expects_continue = False  # the client was sent 100
    exchange.upload.replace(exchange.body)
    return find_destination(exchange)


def find_destination(exchange: Exchange) -> State | None:
    """Find the route or the address that the request is for."""
    tx, client = exchange.tx, exchange.client
    place = destination(tx.request, client.options)
    if isinstance(place, Failure):
        return fail(exchange, place)
    if isinstance(place, Route):
        tx.route = place
        if client.chains.varied:
            exchange.chain = client.chains.find(place)
    else:
        tx.upstream = client.listener.origins.find(place)
    steps = exchange.chain.late_head
    if not steps:
        return destination_found(exchange)
    return call_filters(exchange, steps, destination_found, exchange.FILTERING_REQUEST)


def destination_found(exchange: Exchange) -> State | None:
    """Send the route's answer, or determine the upstream and go on with the phase `route`."""
    tx, client = exchange.tx, exchange.client
    route = tx.route
    if exchange.chain.folder is not None:
        from vcproxy.http.proxy.file_sending import serve_file  # most proxies send no files

        return serve_file(exchange)
    if route is not None:
        if route.answer is not None:
            return respond(exchange, route.answer.response(), "route")
        tx.upstream = tx.upstreams[route.upstream] if route.upstream else client.service.upstream
        if tx.upstream is None:  # a forward proxy only
            why = "no route is for this host"
            return fail_as(exchange, 421, "client", why, "destination_not_found")
    steps = exchange.chain.route
    if not steps:
        return routed(exchange)
    return call_filters(exchange, steps, routed, exchange.FILTERING_REQUEST)


def routed(exchange: Exchange) -> State | None:
    """Go on after `route`: refuse a body that is too long, or connect."""
    if exchange.upload is not None and exchange.upload.too_long:
        why = "request body longer than its limit"
        return fail_as(exchange, 413, "client", why, "http_request_error")
    return connect_server(exchange)


def connect_server(exchange: Exchange) -> State | None:
    """Get a connection to a server."""
    client = exchange.client
    if client.wire.over and client.failure is not None:
        return client_left(exchange)
    engine, server = exchange.engine, exchange.server
    if server.acquire_at_once() if engine.reading else server.acquire():
        return server_selected(exchange)
    if engine.reading:  # other connections may have news that was not read yet
        engine.schedule(client.cont, CONNECT, None)
    exchange.set_deadline()
    return exchange.CONNECTING


def server_selected(exchange: Exchange) -> State | None:
    """Go on with a connection: call the filters, or send the request."""
    server = exchange.server
    assert server.vc is not None
    exchange.tx.server = server.vc.name
    if exchange.tx.record is not None:
        exchange.tx.record.server_selected(server, exchange.tx.reused)
    steps = exchange.chain.server_chosen
    if not steps:
        return send_request(exchange)
    server.wire.attach(server.vc)  # detects the server's end while a filter waits
    return call_filters(exchange, steps, server_filtered, exchange.FILTERING_REQUEST)


def server_filtered(exchange: Exchange) -> State | None:
    """Go on after `server_chosen`. Retry if the server sent anything before the request."""
    if not exchange.server.wire.idle and exchange.tx.request.form != "authority":
        why = "data or end of stream before the request was sent"
        return retry_or_fail(exchange, why, again=True)
    return send_request(exchange)


def send_request(exchange: Exchange) -> State | None:
    """Send the request and the part of its body that has arrived, the rest by a tunnel."""
    client, server, upload = exchange.client, exchange.server, exchange.upload
    request = exchange.tx.request
    assert server.vc is not None
    if request.form == "authority":
        established = ESTABLISHED % client.listener.heads.dates.line()
        start_tunnel(exchange, established)
        return exchange.TUNNELLING
    if upload is not None:
        upload.prepare()
    request.body = 0 if upload is None else upload.framing
    if (request.method == "HEAD") is not exchange.bodiless:
        error = ValueError("a filter changed the method to or from HEAD")
        return fail_with(exchange, error, "plugin")
    try:
        message = client.listener.heads.to_server(
            request, client.context.fields, upgrade=request.upgrade is not None
        )
    except ValueError as error:  # a filter made the request invalid
        return fail_with(exchange, error, "plugin")
    server.wire.attach(server.vc)
    if upload is not None:
        message += upload.first_part()
        if upload.fault is not None:
            return fail_with(exchange, upload.fault, "client")
        if not upload.consumed:
            server.repeatable = False
            exchange.set_deadline(upload.begin(server, message, f"{exchange.name} up"))
            return exchange.SENDING_REQUEST
    server.repeatable = True
    server.wire.send_first(message)
    server.wire.receive_at_once()
    exchange.set_deadline(client.options.timeouts.first_byte)
    return exchange.AWAITING_RESPONSE


def retry_or_fail(exchange: Exchange, why: str, again: bool) -> State | None:
    """Send the request again on another connection if `again` allows it, else fail."""
    if again and exchange.tx.attempts <= exchange.client.options.retries:
        exchange.drop_server()
        if exchange.tx.record is not None:
            exchange.tx.record.server_left(exchange.tx.server)
        return connect_server(exchange)
    return fail_as(exchange, 502, "server", why, "connection_terminated")
