"""The table of the control of a running proxy: its doors, and who may use them.

Tested in tests/config/test_control.py.
"""

import re
from ipaddress import ip_address, ip_network
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    PlainSerializer,
    PlainValidator,
    ValidationInfo,
    WithJsonSchema,
)

from vcproxy.config.tables.network import Network
from vcproxy.config.tables.tls import KeyPair
from vcproxy.config.values import Endpoint, FilePath, Table, endpoint, listed, server_address
from vcproxy.engine.address import Address

UNIX: Literal["unix"] = "unix"
"""In place of an address of the bus: the Unix socket with the default path."""

BusAddress = Address | Literal["unix"]

_SCHEMES = ("unix", "tcp", "tls", "udp")
_HOST = re.compile(r"[A-Za-z0-9._-]+|\[?[0-9A-Fa-f:.]+\]?")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


def _bus(value: object) -> object:
    return () if value == "off" else listed(value)


def _bus_address(value: object, info: ValidationInfo) -> BusAddress:
    if value == UNIX:
        return UNIX
    if value == "off":
        raise ValueError('"off" stands alone: write bus = "off", or addresses')
    address = endpoint(value, info)
    if address.scheme not in _SCHEMES or address.multicast:
        raise ValueError(
            f'"{address}": write "unix", the address of a Unix socket, or one of tcp://, tls:// '
            "and udp:// with an address of this host"
        )
    return address


def _http_address(value: object, info: ValidationInfo) -> BusAddress:
    if value == UNIX:
        return UNIX
    if value == "off":
        raise ValueError('"off" stands alone: write http = "off", or addresses')
    address = endpoint(value, info)
    if address.scheme == "unix" or (address.scheme == "tcp" and is_loopback(address.host)):
        return address
    raise ValueError(
        f'"{address}": write "unix", the address of a Unix socket, or tcp:// with 127.0.0.1, [::1] '
        "or localhost: from other computers, come through ssh -L"
    )


def is_loopback(host: str) -> bool:
    """Whether a host, without brackets, is this computer only: localhost, 127.0.0.0/8 or ::1."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _host_name(name: str) -> str:
    if not _HOST.fullmatch(name):
        raise ValueError(f'"{name}" is not the name of a host: write it without scheme and port')
    return name.lower()


def _service_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(
            f'"{name}" is not the name of a service: write letters, digits, "_" and "-", the first '
            "of them a letter"
        )
    return name


def _service_address(value: object, info: ValidationInfo) -> Address:
    address = server_address(value, info)
    if address.scheme not in _SCHEMES or address.multicast:
        raise ValueError(f'"{address}": a service is at unix:, tcp://, tls:// or udp://')
    return address


ServiceName = Annotated[str, AfterValidator(_service_name)]


class ControlTls(KeyPair):
    """The certificate of the bus at tls:// addresses."""

    client_ca: FilePath | None = None
    """Authorities, PEM. With it, only clients with a certificate signed by one of them can connect,
    and all commands are open to them. Absent: everybody in `allow` can connect, and only commands
    that change nothing are carried out."""


class ControlTable(Table):
    """How a running proxy is asked and commanded: see the page on control."""

    bus: Annotated[
        tuple[
            Annotated[
                BusAddress,
                PlainValidator(_bus_address),
                PlainSerializer(str, when_used="json"),
                WithJsonSchema({"type": "string", "format": "address"}),
            ],
            ...,
        ],
        BeforeValidator(_bus),
    ] = (UNIX,)
    """Where the proxy takes messages: one address or a list of them. "unix" is the socket PID.sock,
    named after the process, in the folder vcproxy of $XDG_RUNTIME_DIR or, without that, of /run.
    Only its user may use this or any other Unix socket here. At tcp:// and udp://, and at tls://
    without `client_ca`, only commands that change nothing are carried out. "off": none."""

    http: Annotated[
        tuple[
            Annotated[
                BusAddress,
                PlainValidator(_http_address),
                PlainSerializer(str, when_used="json"),
                WithJsonSchema({"type": "string", "format": "address"}),
            ],
            ...,
        ],
        BeforeValidator(_bus),
    ] = (UNIX,)
    """Where the proxy takes HTTP requests, those of `vcproxy ctl`: one address or a list of them.
    "unix" is the socket PID.ctl.sock beside that of the bus; only its user may use this or any
    other Unix socket here. A tcp:// address must be one of this computer only, 127.0.0.1 or [::1];
    its clients send a token. "off": none."""

    token_file: FilePath | None = None
    """The file with the token for tcp:// addresses of `http`: at least 16 characters in one line,
    of mode 0600. If there is none, it is made. Absent: PID.token beside the socket of the bus, made
    at each start."""

    hosts: tuple[Annotated[str, AfterValidator(_host_name)], ...] = ()
    """Further names under which clients may reach a tcp:// address of `http`, as behind a web
    server in front of it. Others than these and those of this computer are refused: a page of a
    foreign site could otherwise use its visitor's browser to send requests."""

    allow: tuple[Network, ...] = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
    """The networks that may use the tcp://, tls:// and udp:// addresses. Others get no reply."""

    service: ServiceName = "vcproxy"
    """The name of this proxy as a service: a message for it is sent to this name, or to none."""

    services: dict[
        ServiceName,
        Annotated[Endpoint, PlainValidator(_service_address)],
    ] = {}
    """The addresses of other services by name. A message for one of them is forwarded, and so are
    its replies, if it comes from where commands that change something are carried out."""

    messages: tuple[FilePath, ...] = ()
    """Directories with definitions of messages, for those that plugins receive. A message that does
    not fit its definition is refused."""

    trace: bool = False
    """Whether each message is logged when it is received, without its secret code: to see whether
    and how it arrives."""

    tls: ControlTls | None = None
    """Required for tls:// addresses of `bus`, and only for those."""
