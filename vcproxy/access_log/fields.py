"""FIELDS: the fields of the records of the access log, in the order in which JSON has them.

Tested in tests/access_log/test_pattern.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

Kind: TypeAlias = Literal["tcp", "udp", "http"]
"""The kinds of records: of a session over a stream (TCP, TLS, Unix socket, terminal ...), of a
session of datagrams, of an HTTP request."""

KINDS: Final[tuple[Kind, ...]] = ("tcp", "udp", "http")

ALL: Final = frozenset[Kind](KINDS)
SESSIONS: Final = frozenset[Kind](("tcp", "udp"))
HTTP: Final = frozenset[Kind](("http",))

Type: TypeAlias = Literal["text", "integer", "milliseconds", "texts", "counts", "mapping"]
"""How a value is given and shown: "text": str or bytes; "integer": int; "milliseconds": seconds as
float, shown in milliseconds; "texts": a sequence of texts; "counts": a mapping of names to numbers;
"mapping": of names to what JSON has. None, for every type: it does not apply, or was not reached:
null in JSON, "-" in text."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of the records of some kinds."""

    name: str
    kinds: frozenset[Kind]
    type: Type
    text: str
    """What it is, in one line, for the reference."""


FIELDS: Final = (
    Field("time", ALL, "text", "When it began: UTC, as 2026-11-30T08:15:30.123Z."),
    Field("kind", ALL, "text", "What it is: tcp (a session of any stream), udp or http."),
    Field("id", ALL, "text", "Its identifier, as `vcproxy ctl` shows it; unique until a restart."),
    Field("parent", ALL, "text", "Of a mirrored copy: the identifier of what it was copied from."),
    Field("listener", ALL, "text", "The name of the listener."),
    Field("client", ALL, "text", "The client's address: the one in the PROXY header, if any."),
    Field("proxied_by", ALL, "text", "The address that sent the PROXY header."),
    Field("forwarded_for", HTTP, "text", "The client's address in X-Forwarded-For or Forwarded."),
    Field("tls", ALL, "text", "The client's version of TLS, as TLSv1.3."),
    Field("cipher", ALL, "text", "The cipher suite of the client's TLS."),
    Field("sni", ALL, "text", "The server name that the client requested in its TLS handshake."),
    Field(
        "alpn",
        ALL,
        "text",
        "The application protocol agreed on in the TLS handshake; of a client routed by its "
        "ClientHello, those that it offers.",
    ),
    Field("certificate", ALL, "text", "The subject of the client's verified certificate."),
    Field("plugin", ALL, "text", "The plugin of the listener."),
    Field("method", HTTP, "text", "The method of the request."),
    Field("host", HTTP, "text", "The host of the request."),
    Field("target", HTTP, "text", "The target of the request, as the client sent it."),
    Field("version", HTTP, "text", "The version of HTTP that the client used."),
    Field("referer", HTTP, "text", "The field Referer of the request."),
    Field("user_agent", HTTP, "text", "The field User-Agent of the request."),
    Field(
        "request_id",
        HTTP,
        "text",
        "What the duty `request_id` has made or kept; else the field X-Request-Id.",
    ),
    Field("status", HTTP, "integer", "The status of the response."),
    Field("answered_by", HTTP, "text", "What made the response, if no server: a filter, vcproxy."),
    Field("route", ALL, "text", "The route that was chosen."),
    Field("upstream", ALL, "text", "The upstream."),
    Field("server", ALL, "text", "The server."),
    Field("tried", ALL, "texts", "The servers that had failed before."),
    Field("bytes_up", ALL, "integer", "Bytes received from the client: of a request, its body."),
    Field("bytes_down", ALL, "integer", "Bytes sent to the client: of a response, its body."),
    Field("time_handshake", SESSIONS, "milliseconds", "From accept to the end of the handshake."),
    Field("time_queue", ALL, "milliseconds", "The time in the queue for a server."),
    Field("time_connect", ALL, "milliseconds", "The time to connect, with TLS."),
    Field("time_first_byte", ALL, "milliseconds", "From the beginning to the server's first byte."),
    Field("time_total", ALL, "milliseconds", "From the beginning to the end."),
    Field(
        "verdicts",
        SESSIONS,
        "counts",
        "How many messages got which verdict; of a splitter, how many requests were not answered, "
        "by the reason.",
    ),
    Field("dropped", SESSIONS, "integer", "Messages that the lag policy or a full queue dropped."),
    Field("end", ALL, "text", "How it ended, in two letters: what ended it, and in which phase."),
    Field("reason", ALL, "text", "Why it ended, in words, unless in order."),
    Field("extra", ALL, "mapping", "The fields of plugins: {extra.NAME} in a template."),
)
"""All fields. `kinds` are the kinds of records that have the field."""

BY_NAME: Final = {field.name: field for field in FIELDS}


def fields_of(kind: Kind) -> tuple[Field, ...]:
    """Return the fields of records of a kind, in their order."""
    return tuple(field for field in FIELDS if kind in field.kinds)
