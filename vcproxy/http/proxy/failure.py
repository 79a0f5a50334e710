"""Failure: why a request got no complete response from a server, and what the client is sent.

Tested in tests/http/proxy/test_servers.py and test_times.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from vcproxy.engine.failures import (
    AlertReceived,
    CertificateRefused,
    NotResolved,
    ResolvedTooLate,
    TlsError,
    Unroutable,
)
from vcproxy.tunnels.done import Reason
from vcproxy.upstream.queue import QueueFull, QueueTimeout
from vcproxy.upstream.upstream import NoServer

if TYPE_CHECKING:
    from vcproxy.engine.vconnection import VConnection
    from vcproxy.http.message.bad_message import BadMessage
    from vcproxy.tunnels.done import TunnelDone

Party = Literal["client", "server", "proxy", "plugin"]


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a request got no complete response from a server."""

    status: int
    """Status of the response to the client; 0: none, as the client's connection has failed or part
    of a response was sent."""
    party: Party
    """Which side failed."""
    why: str
    """The reason, as it is logged."""
    error: str
    """The error type of RFC 9209, 2.3, as "connection_refused"."""
    retry_s: int = 0
    """Seconds after which the client may send the request again, for Retry-After; 0: unknown."""

    def __str__(self) -> str:
        return f"{self.party}: {self.why}"


_CONNECT_FAILURES: tuple[tuple[type[Exception], int, Party, str], ...] = (
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
"""Status, party and RFC 9209 2.3 error type by exception class. The first match is used."""


def invalid_request(problem: BadMessage) -> Failure:
    """Return the Failure for a request that violates the protocol."""
    return Failure(problem.status, "client", str(problem), "http_request_error")


def connect_failure(error: Exception | None) -> Failure:
    """Return the Failure for a server that could not be connected."""
    for kind, status, party, name in _CONNECT_FAILURES:
        if isinstance(error, kind):
            return Failure(status, party, str(error), name)
    raise AssertionError(f"connection failed without an exception: {error!r}")


def transfer_failure(
    done: TunnelDone, source: VConnection | None, parties: tuple[Party, Party]
) -> Failure:
    """Return the Failure for an incomplete body transfer; `parties`: of source and sink."""
    flow = done.flows[0]
    sender, receiver = parties
    if done.reason is Reason.INACTIVITY:
        stalled = receiver if flow.buffered else sender
        why = done.reason.value
        if stalled == "client":
            return Failure(408, stalled, why, "http_request_error")
        error = "connection_write_timeout" if flow.buffered else "connection_read_timeout"
        return Failure(504, stalled, why, error)
    if done.reason is Reason.ERROR:
        failed = sender if source is not None and done.ended_by == source.name else receiver
        status = 400 if failed == "client" else 502
        return Failure(status, failed, str(done.error), "connection_terminated")
    if done.reason is Reason.ACTIVE:  # the listener's timeout
        return Failure(504, "proxy", done.reason.value, "http_response_timeout")
    why = "connection closed inside the body"
    if sender == "client":
        return Failure(400, sender, why, "http_request_error")
    return Failure(502, sender, why, "http_response_incomplete")
