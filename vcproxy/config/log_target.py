"""LogTarget: the type of `[proxy] log`, a file or a log server.

Tested in tests/config/test_log_target.py.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from urllib.parse import parse_qsl

from pydantic import PlainSerializer, PlainValidator, ValidationInfo, WithJsonSchema

from vcproxy.config.values import endpoint, file_path
from vcproxy.engine.address import Address

PREFIX = "syslog:"

SCHEMES = ("udp", "tcp", "tls", "unix")

EXAMPLE = '"syslog:udp://127.0.0.1:514"'

FACILITIES = (
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv",
    "ftp", "ntp", "audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4",
    "local5", "local6", "local7",
)  # fmt: skip
"""The names of the facilities 0 to 23 (RFC 5424, 6.2.1), as syslog.conf(5) has them."""

DEFAULT_FACILITY = "daemon"


@dataclass(frozen=True)
class SyslogServer:
    """A log server that takes messages as RFC 5424 has them."""

    address: Address
    """Where it is: udp://, tcp://, tls:// or unix:."""
    facility: str = DEFAULT_FACILITY
    ca: Path | None = None
    """For tls://: authorities to trust in place of the system's."""

    def __str__(self) -> str:
        options = [] if self.facility == DEFAULT_FACILITY else [f"facility={self.facility}"]
        if self.ca is not None:
            options.append(f"ca={self.ca}")
        return f"{PREFIX}{self.address}{'?' if options else ''}{'&'.join(options)}"


def log_target(value: object, info: ValidationInfo) -> Path | SyslogServer:
    """Return a target, read like a LogTarget. Raises ValueError."""
    if not isinstance(value, str) or not value.startswith(PREFIX):
        return file_path(value, info)
    uri, _, query = value.removeprefix(PREFIX).partition("?")
    address = endpoint(uri, info) if uri.partition(":")[0] in SCHEMES else None
    if address is None or address.multicast:
        raise ValueError(
            f'"{value}": a log server is at udp://, tcp://, tls:// or unix:, as in {EXAMPLE}'
        )
    if address.scheme != "unix" and not address.port:
        raise ValueError(f'"{address}": a log server has a port, as in {EXAMPLE}')
    facility, ca = DEFAULT_FACILITY, None
    for name, text in parse_qsl(query, keep_blank_values=True):
        if name == "facility":
            facility = text
        elif name == "ca" and address.secure:
            ca = file_path(text, info)
        else:
            only = '"facility" and "ca" are' if address.secure else '"facility" is'
            raise ValueError(f'"{name}" is unknown here: only {only} known after {address}?')
    if facility not in FACILITIES:
        raise ValueError(f'"{facility}" is not a facility: choose one of {", ".join(FACILITIES)}')
    return SyslogServer(address, facility, ca)


LogTarget = Annotated[
    Path | SyslogServer,
    PlainValidator(log_target),
    PlainSerializer(str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "path"}),
]
"""A file, by a path relative to the configuration file, or a log server."""
