"""The parameters of addresses: "name=value" after the "?" of a URI, by scheme.

Tested in tests/engine/test_address.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import ip_address
from urllib.parse import parse_qsl

Pairs = tuple[tuple[str, str], ...]
"""Names and values, in alphabetical order."""

FILE_PARAMETERS = ("group", "mode", "owner")
"""Of the file that a Unix socket or a FIFO makes: its group, permissions and owner, for chmod(2)
and chown(2). A group or an owner is a name or a number."""

PARAMETERS = {
    "udp": ("interface", "source", "ttl"),
    "nats": ("stream", "durable"),
    "unix": FILE_PARAMETERS,
    "unixgram": FILE_PARAMETERS,
    "unixpacket": FILE_PARAMETERS,
    "fifo": FILE_PARAMETERS,
    "serial": ("baud", "bits", "flow", "parity", "stop"),
    "terminal": ("raw",),
}
"""The query parameters by scheme. udp://, for multicast groups only: the interface to join or send
on (its name or an address of it), the only source to receive from, and the most hops of a datagram.
nats://, for JetStream: the stream, and the durable consumer, which keeps the position in it.
serial: see termios(3). terminal: raw passes on each key, without echo and ^C."""

BAUD_RATES = (50, 75, 110, 134, 150, 200, 300, 600, 1200, 1800, 2400, 4800, 9600, 19200, 38400,
              57600, 115200, 230400, 460800, 500000, 576000, 921600, 1000000, 1152000, 1500000,
              2000000, 2500000, 3000000, 3500000, 4000000)  # fmt: skip
"""The speeds of termios(3) on Linux. Devices support some of them."""


def is_address(text: str) -> bool:
    """Return whether a text is an IPv4 or IPv6 address."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def is_group(host: str) -> bool:
    """Return whether a host is a multicast group (RFC 1112, RFC 4291)."""
    return is_address(host) and ip_address(host).is_multicast


def _one_of(*values: str) -> tuple[Callable[[str], bool], str]:
    *others, last = values
    return values.__contains__, f"be {', '.join(others)} or {last}"


_RULES: dict[str, tuple[Callable[[str], bool], str]] = {
    "ttl": (
        lambda value: value.isdecimal() and int(value) < 256,
        "have a number of hops from 0 to 255",
    ),
    "source": (is_address, "be an IP address"),
    "mode": (
        lambda value: re.fullmatch("[0-7]{3,4}", value) is not None,
        "be an octal number, as 0660",
    ),
    "baud": (
        lambda value: value.isdecimal() and int(value) in BAUD_RATES,
        "be a speed of termios(3), as 9600 or 115200",
    ),
    "bits": _one_of("5", "6", "7", "8"),
    "parity": _one_of("none", "even", "odd"),
    "stop": _one_of("1", "2"),
    "flow": _one_of("none", "hardware", "software"),
    "raw": _one_of("true", "false"),
}
_ANY: tuple[Callable[[str], bool], str] = (bool, "have a value")


def parameters(uri: str, scheme: str, host: str, query: str) -> Pairs:
    """Return the parameters in a query. Raises ValueError with the reason if one is not valid.

    `uri`: the whole address, for the texts of errors. `host`: the host of a udp address.
    """
    known = PARAMETERS.get(scheme, ())
    slashes = "" if scheme in PARAMETERS and scheme not in ("udp", "nats") else "//"
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True) if query else []
    except ValueError:
        pairs = [(query, "")]
    for name, value in pairs:
        if name not in known:
            names = ", ".join(known) or "none"
            raise ValueError(f'"{uri}": unknown parameter {name}: {scheme}:{slashes} has {names}')
        valid, meant = _RULES.get(name, _ANY)
        if not valid(value):
            raise ValueError(f'"{uri}": {name} must {meant}')
    if pairs and scheme == "udp" and not is_group(host):
        raise ValueError(f'"{uri}": {pairs[0][0]} is for multicast groups, and {host} is not one')
    if scheme == "udp" and "%" in host and is_group(host):
        group, _, zone = host.partition("%")
        raise ValueError(f'"{uri}": write the group as [{group}], and ?interface={zone}')
    if len({name for name, _ in pairs}) < len(pairs):
        raise ValueError(f'"{uri}": each parameter may be given once')
    return tuple(sorted(pairs))
