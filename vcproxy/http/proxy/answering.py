"""How an exchange gets the server's response to the client: head, filters, body, the end.

Each function returns the next state of the exchange, or None: it stays. Tested in
tests/http/proxy/test_servers.py, test_bodies.py, test_tunnels.py and test_proxied_filters.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

from vcproxy.engine.plugin_error import as_error
from vcproxy.http.filters import Wait
from vcproxy.http.message.bad_message import BadMessage
from vcproxy.http.message.keep_alive import keep_alive_s
from vcproxy.http.message.messages import UNTIL_CLOSE, Response
from vcproxy.http.message.parsing import head_end
from vcproxy.http.proxy.download import Download
from vcproxy.http.proxy.ending import abort, end, fail_as, fail_with
from vcproxy.http.proxy.failure import Failure
from vcproxy.http.proxy.filtering import call_filters
from vcproxy.http.proxy.own_responses import check_sendable
from vcproxy.http.proxy.requesting import retry_or_fail
from vcproxy.http.proxy.tunnelling import start_tunnel, switches

if TYPE_CHECKING:
    from vcproxy.engine.vio import VIO
    from vcproxy.http.filters import Step
    from vcproxy.http.proxy.exchange import Exchange
    from vcproxy.http.proxy.transaction import BodyEncoder, Transaction
    from vcproxy.machine.state import State

SLICE = 64 << 10
"""Bytes of a whole body that are encoded in one turn: gzip takes 1 to 5 ms for them."""


def read_response_head(exchange: Exchange) -> State | None:
    """Read the response's head; forward interim responses (1xx) before it."""
    client, server, tx, upload = exchange.client, exchange.server, exchange.tx, exchange.upload
    wire, record = server.wire, tx.record
    while True:
        data = wire.take()
        if record is not None and record.first_at is None and data:
            record.first_at = exchange.engine.now
        try:
            length = head_end(data, client.limits)
            if length < 0:
                wire.pending = data
                return retry_or_fail(exchange, *server.unanswered()) if wire.over else None
            response = client.listener.heads.response(data[:length], tx.request.method)
        except BadMessage as problem:
            problem.message = data
            return fail_with(exchange, problem, "server")
        wire.pending = data[length:]
        if response.status >= 200:
            break
        if response.status == 101:
            return switch_protocols(exchange, response)
        server.repeatable = False
        if response.status == 100 and upload is not None and upload.awaits_continue:
            exchange.set_deadline(upload.expect())
        if tx.request.version > 10 and not client.wire.full:  # else the 1xx response is dropped
            client.wire.send(client.head(response, exchange.version, keep=True, body=0))
    server.repeatable = False
    if record is not None:
        record.responding = True
    control = response.fields.control
    if b"keep-alive" in control and (kept_s := keep_alive_s(response.fields)) is not None:
        assert server.vc is not None
        server.upstream.keep_alive_announced(server.vc, kept_s)
    tx.response = response
    exchange.received = response.body, response.bodiless, response.persistent
    chain = exchange.chain
    if chain.response_body or chain.response_chunk:
        exchange.download = Download(client, chain, server, tx)
    steps = chain.response_head
    if not (steps or chain.every_response):
        if exchange.download is None:
            return send_response(exchange, response)
        return response_head_filtered(exchange)
    return call_filters(exchange, steps, response_head_filtered, exchange.FILTERING_RESPONSE)


def response_head_filtered(exchange: Exchange) -> State | None:
    """Go on after `response_head`: send the response, or collect its body for a filter."""
    try:
        response = check_sendable(exchange.tx.response)
    except (TypeError, ValueError) as error:
        return fail_with(exchange, error, "plugin")
    response.body, response.bodiless, response.persistent = exchange.received
    download = exchange.download
    if download is not None:
        whole = exchange.chain.response_body
        if exchange.bodiless or response.status == 304:  # the body that GET would get is not known
            download.withdraw(response)
            response.fields.discard("Content-Length")
        elif not (whole or response.bodiless):
            download.withdraw(response)
        if whole and not response.bodiless:
            return collect_response(exchange)
    failed = last_phase(exchange, response)
    if failed is not None:
        return fail_with(exchange, failed, "plugin")
    try:
        return send_response(exchange, response)
    except ValueError as error:  # a filter made the response invalid
        return fail_with(exchange, error, "plugin")


def collect_response(exchange: Exchange) -> State | None:
    """Read the part of the body that arrived; once it is complete, call the filters with it."""
    client, download = exchange.client, exchange.download
    assert download is not None
    try:
        body = download.collect()
    except BadMessage as problem:
        return fail_with(exchange, problem, "server")
    if body is None:
        exchange.set_deadline(client.options.timeouts.stalled)
        return exchange.at(exchange.BUFFERING_RESPONSE)
    steps = exchange.chain.response_body
    return call_filters(exchange, steps, response_body_filtered, exchange.FILTERING_RESPONSE, body)


def response_body_filtered(exchange: Exchange) -> State | None:
    """Go on after `response_body`: encode the body if it is to be, then send it."""
    assert exchange.download is not None
    exchange.download.replace(exchange.body)
    error = last_phase(exchange, exchange.tx.response)
    if error is not None:
        return fail_with(exchange, error, "plugin")
    encoder = exchange.tx.encoder
    if encoder is None:
        return send_whole(exchange)
    steps = slices(encoder, len(exchange.body))
    return call_filters(exchange, steps, send_whole, exchange.FILTERING_RESPONSE, exchange.body)


def slices(encoder: BodyEncoder, size: int) -> Iterator[Step]:
    """Yield the steps that encode a whole body: one slice in each turn of the net thread, so that
    other connections need not wait."""
    encoded = []

    def encode(tx: Transaction, body: bytes, at: int) -> bytes | Wait:
        encoded.append(encoder.feed(body[at : at + SLICE]))
        if at + SLICE < size:
            return Wait(0.0)
        encoded.append(encoder.feed(b""))
        return b"".join(encoded)

    for at in range(0, size, SLICE):
        yield partial(encode, at=at)


def send_whole(exchange: Exchange) -> State | None:
    """Send the response with the body that the filters have returned, with Content-Length."""
    client, response, body = exchange.client, exchange.tx.response, exchange.body
    keep = exchange.can_keep_alive
    try:
        head = client.head(response, exchange.version, keep, len(body))
    except ValueError as error:
        return fail_with(exchange, error, "plugin")
    exchange.keep_alive = keep
    client.wire.send(head + body)
    if exchange.tx.record is not None:
        exchange.tx.record.bytes_down = len(body)
    return response_sent(exchange)


def last_phase(exchange: Exchange, response: Response) -> Exception | None:
    """Call `every_response` for the response of a server; return what it raised."""
    for step in exchange.chain.every_response:
        try:
            step(exchange.tx, response)
        except BaseException as error:
            return as_error(error)
    return None


def send_response(exchange: Exchange, response: Response) -> State | None:
    """Send the response with the part of its body that has arrived. A short rest is sent as it
    arrives, a longer one through a tunnel."""
    client, wire, body = exchange.client, exchange.server.wire, response.body
    record = exchange.tx.record
    keep = exchange.can_keep_alive
    if len(wire.pending) == body and (response.bodiless or not exchange.chain.response_chunk):
        content, wire.pending = wire.pending, b""
        encoder = exchange.tx.encoder
        if encoder is not None:
            content = encoder.feed(content) + encoder.feed(b"")
            body = len(content)
        client.wire.send(client.head(response, exchange.version, keep, body) + content)
        if record is not None:
            record.bytes_down = len(content)
        exchange.keep_alive = keep
        return response_sent(exchange)
    download = exchange.download or Download(client, exchange.chain, exchange.server, exchange.tx)
    body = download.prepare(response, exchange.version)
    keep = keep and body != UNTIL_CLOSE
    transfer = download.transfer
    data = transfer.take()
    if transfer.fault is not None:
        return fail_with(exchange, transfer.fault, "server")
    if record is not None:
        record.bytes_down = len(data)
    head = client.head(response, exchange.version, keep, body)
    data = head + data
    exchange.keep_alive = keep
    if transfer.over:
        client.wire.send(data)
        return response_sent(exchange)
    exchange.download = download
    if transfer.short:
        client.wire.send(data)
        exchange.set_deadline(client.options.timeouts.stalled)
        return exchange.SENDING_RESPONSE
    if record is not None:
        record.count_down(client.vc, len(head) + client.wire.unsent)
    download.begin(data, f"{exchange.name} down")
    exchange.set_deadline()
    return exchange.STREAMING_RESPONSE


def send_rest(exchange: Exchange, vio: VIO) -> State | None:
    """Send the next part of a short response."""
    client, server, download = exchange.client, exchange.server, exchange.download
    assert download is not None
    transfer = download.transfer
    data = transfer.take()
    if data:
        client.wire.send(data)
        if exchange.tx.record is not None:
            exchange.tx.record.bytes_down += len(data)
    if transfer.over:
        return response_sent(exchange)
    if server.wire.over:
        why = str(vio.error) if vio.error is not None else "connection closed inside the body"
        return abort(exchange, Failure(502, "server", why, "http_response_incomplete"))
    exchange.set_deadline(client.options.timeouts.stalled)
    return None


def response_sent(exchange: Exchange) -> State:
    """End the transaction after the response was queued. Keep a reusable server connection."""
    tx, consumed = exchange.tx, exchange.request_consumed
    last = exchange.client.service.draining and tx.route is None  # the client named the server
    if not consumed:
        exchange.stop_transfers()
    exchange.server.release(tx.response.persistent and consumed and not last)
    return end(exchange, exchange.keep_alive)


def switch_protocols(exchange: Exchange, response: Response) -> State | None:
    """Forward a 101 if the client has requested the upgrade; else answer 502."""
    if not exchange.request_consumed or not switches(exchange.tx.request, response):
        why = "101 without a matching Upgrade request"
        return fail_as(exchange, 502, "server", why, "http_upgrade_failed")
    exchange.tx.response = response
    steps = exchange.chain.response_head
    if not steps:
        return switch_filtered(exchange)
    return call_filters(exchange, steps, switch_filtered, exchange.FILTERING_RESPONSE)


def switch_filtered(exchange: Exchange) -> State:
    """Go on after `response_head` of a 101. Filters do not get the bytes after it."""
    client, response = exchange.client, exchange.tx.response
    try:
        if response.status != 101:
            raise ValueError(
                "a filter changed the status 101; to refuse the switch, return a Response"
            )
        head = client.head(response, exchange.version, keep=True, body=0)
    except (AttributeError, TypeError, ValueError) as error:
        return fail_with(exchange, error, "plugin")
    start_tunnel(exchange, head)
    return exchange.TUNNELLING
