"""The tables of the PROXY protocol: [listener.proxy_protocol] and [upstream.NAME.proxy_protocol].

Tested in tests/config/test_proxy_protocol.py.
"""

from ipaddress import IPv4Network, IPv6Network
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    PlainValidator,
    WithJsonSchema,
)

from vcproxy.config.tables.network import read_network
from vcproxy.config.values import Table, listed

UNIX: Literal["unix"] = "unix"
"""In place of a network: the peers at the listener's Unix sockets."""

Sender = IPv4Network | IPv6Network | Literal["unix"]


def _sender(value: object) -> Sender:
    return UNIX if value == UNIX else read_network(value)


def _not_empty(senders: tuple[Sender, ...]) -> tuple[Sender, ...]:
    if not senders:
        raise ValueError('needs at least one network, as from = ["10.0.0.0/8"], or "unix"')
    return senders


class ListenerProxyProtocol(Table):
    """The load balancers in front of a listener, which announce the client of each connection in a
    header of the PROXY protocol, version 1 or 2. Whether a header comes is never guessed: it must
    come from these, and may not come from others."""

    from_: Annotated[
        tuple[
            Annotated[
                Sender,
                PlainValidator(_sender),
                PlainSerializer(str, when_used="json"),
                WithJsonSchema({"type": "string", "format": "network"}),
            ],
            ...,
        ],
        BeforeValidator(listed),
        AfterValidator(_not_empty),
    ] = Field(alias="from")
    """The networks of the load balancers: one or a list. "unix": all peers at Unix sockets. The
    address of the client, for limits, balancing, logs and X-Forwarded-For, is the one that such a
    header names."""

    others: Literal["refuse", "direct"] = "refuse"
    """What happens to connections from elsewhere. "refuse": they are closed; "direct": they are
    served without a header, as clients of their own."""


AnnouncedField = Literal["alpn", "authority", "crc32c", "received", "ssl", "unique-id"]


def _as_version(value: object) -> object:
    return {"version": value} if isinstance(value, str) else value


class UpstreamProxyProtocol(Table):
    """The header of the PROXY protocol that announces the client to the servers. In place of the
    table, its version may be written: proxy_protocol = "v2"."""

    version: Literal["v1", "v2"] = "v2"
    """Its version: "v1", a line of text with addresses only, or "v2"."""

    tlvs: Annotated[tuple[AnnouncedField, ...], BeforeValidator(listed)] = ()
    """Further fields of a "v2" header. "alpn" and "authority": the protocol and the server name
    that the client has negotiated by TLS; "ssl": its TLS version, cipher and certificate;
    "unique-id": an identifier of the connection; "crc32c": a checksum; "received": all fields of
    the header that the client's own connection began with, unless another name here gives the same
    field."""


UpstreamAnnouncement = Annotated[UpstreamProxyProtocol, BeforeValidator(_as_version)]
