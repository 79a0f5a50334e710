"""The proxy's own answers: short, and saying which side failed."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from vcproxy.engine.failures import (
    AlertReceived,
    CertificateRefused,
    NotResolved,
    ResolvedTooLate,
    TlsError,
    Unroutable,
)
from vcproxy.http.message.messages import Response
from vcproxy.http.proxy.transaction import Failure, Party
from vcproxy.tunnels.done import Reason
from vcproxy.upstream.queue import QueueFull, QueueTimeout
from vcproxy.upstream.upstream import NoServer

if TYPE_CHECKING:
    from vcproxy.engine.vconnection import VConnection
    from vcproxy.http.proxy.routing import Answer
    from vcproxy.tunnels.done import TunnelDone


def own_answer(failure: Failure, pseudonym: str) -> Response:
    """Return what a client is told of a failure, with a Proxy-Status field (RFC 9209).

    Of what others did it gets to know the kind: the log has their addresses, and what they said.
    """
    phrase = HTTPStatus(failure.status).phrase
    told = failure.why if failure.party == "client" else failure.error.replace("_", " ")
    told = f"{failure.party}: {told}"
    details = told.replace("\\", "\\\\").replace('"', '\\"')
    details = "".join(each if " " <= each <= "~" else "?" for each in details)
    fields = {
        "Content-Type": "text/plain; charset=utf-8",
        "Proxy-Status": f'{pseudonym}; error={failure.error}; details="{details}"',
    }
    return Response(failure.status, fields, f"{failure.status} {phrase}\n{told}\n".encode())


def sendable(answer: Response) -> Response:
    """Return what a filter answers. Raises TypeError, or ValueError, for what is no answer."""
    if not isinstance(answer, Response):
        raise TypeError(f"{answer!r} is no answer: it must be a Response")
    if answer.status < 200:
        raise ValueError(f"{answer!r} is no answer: another one has to follow")
    return answer


def configured(answer: Answer) -> Response:
    """Return what a route answers."""
    fields = {"Content-Type": answer.content_type} if answer.body else {}
    if answer.location is not None:
        fields["Location"] = answer.location
    return Response(answer.status, fields, answer.body.encode())


_UNREACHABLE: tuple[tuple[type[Exception], int, Party, str], ...] = (
    (NoServer, 503, "proxy", "destination_unavailable"),
    (QueueFull, 503, "proxy", "connection_limit_reached"),
    (QueueTimeout, 503, "proxy", "connection_limit_reached"),
    (NotResolved, 502, "server", "dns_error"),
    (ResolvedTooLate, 504, "server", "dns_timeout"),
    (Unroutable, 502, "server", "destination_ip_unroutable"),
    (CertificateRefused, 502, "server", "tls_certificate_error"),
    (AlertReceived, 502, "server", "tls_alert_received"),
    (TlsError, 502, "server", "tls_protocol_error"),
    (ConnectionResetError, 502, "server", "connection_terminated"),
    (TimeoutError, 504, "server", "connection_timeout"),
    (Exception, 502, "server", "connection_refused"),
)
"""Kinds of failure, the first that fits, and what they are to the client (RFC 9209 2.3)."""


def unreachable(error: Exception | None) -> Failure:
    """Return why there is no connection to a server, and what that means to the client."""
    for kind, status, party, name in _UNREACHABLE:
        if isinstance(error, kind):
            return Failure(status, party, str(error), name)
    raise AssertionError(f"{error!r} is no failure")


def trouble(done: TunnelDone, source: VConnection | None, parties: tuple[Party, Party]) -> Failure:
    """Return why a body has not gone through: `parties` are its source and its sink."""
    flow = done.flows[0]
    sender, taker = parties
    if done.reason is Reason.INACTIVITY:
        stalls = taker if flow.buffered else sender
        why = done.reason.value
        if stalls == "client":
            return Failure(408, stalls, why, "http_request_error")
        error = "connection_write_timeout" if flow.buffered else "connection_read_timeout"
        return Failure(504, stalls, why, error)
    if done.reason is Reason.ERROR:
        broke = sender if source is not None and done.ended_by == source.name else taker
        status = 400 if broke == "client" else 502
        return Failure(status, broke, str(done.error), "connection_terminated")
    if done.reason is Reason.ACTIVE:  # the listener's
        return Failure(504, "proxy", done.reason.value, "http_response_timeout")
    error = "http_request_error" if sender == "client" else "http_response_incomplete"
    return Failure(400 if sender == "client" else 502, sender, "it ended within a body", error)
