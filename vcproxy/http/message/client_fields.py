"""ClientFields: the fields Via, X-Forwarded-* and Forwarded of the requests of one client.

Tested in tests/http/message/test_forwarding.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeAlias

from vcproxy.http.message.framing import elements
from vcproxy.http.message.messages import Request

Style: TypeAlias = Literal["x-forwarded", "forwarded", "both", "off"]

_PREFIXES = (b"forwarded", b"x-forwarded-")

_HOSTS = 8
"""Hosts for which the lines are cached: a connection rarely requests a second one."""


@dataclass(frozen=True, eq=False)
class ClientFields:
    """The values of Via, X-Forwarded-* and Forwarded (RFC 7239) for one client connection."""

    address: str
    """The client's IP address; empty if it has none."""
    secure: bool
    """Whether the client is connected by TLS."""
    pseudonym: str = "vcproxy"
    """The proxy's name in Via; empty: no Via is added."""
    mark: str = ""
    """A comment in Via that distinguishes this listener from others of that name; empty: none."""
    style: Style = "x-forwarded"
    """Which fields are added; "off": none, and the client's own are forwarded unchanged."""
    trusted: bool = False
    """Whether forwarding fields of the client are kept and extended. If not, they are removed."""

    def lines_for(self, request: Request, removed: set[bytes]) -> bytes:
        """Return the lines that are added to a request; add to `removed` the names of the fields
        that they replace."""
        via = self._via[request.version - 10]
        if self.style == "off":
            return via
        names = [name for name in request.fields.control if name.startswith(_PREFIXES)]
        if not names:
            return via + self._new_lines(request.host)
        if not self.trusted:
            removed.update(names)
            return via + self._new_lines(request.host)
        return via + self._extended_lines(request, removed)

    def lines_of(self, host: str) -> bytes:
        """Return the lines that are added to a request of HTTP/1.1 without fields of other
        proxies."""
        via = self._via[1]
        return via if self.style == "off" else via + self._new_lines(host)

    def _new_lines(self, host: str) -> bytes:
        """Return the lines for a request whose own forwarding fields are not kept."""
        lines = self._cached.get(host)
        if lines is None:
            made = [f"{name}: {value}\r\n" for name, value in self._values(host).items()]
            if len(self._cached) >= _HOSTS:
                self._cached.clear()
            lines = self._cached[host] = "".join(made).encode("latin-1")
        return lines

    def _extended_lines(self, request: Request, removed: set[bytes]) -> bytes:
        """Return the lines for a request of a trusted proxy: append our value to each list."""
        fields, lines = request.fields, ""
        for name, value in self._values(request.host).items():
            before = fields.get(name)
            if before is not None and name in ("X-Forwarded-For", "Forwarded"):
                removed.add(name.lower().encode())
                value = f"{before}, {value}" if before else value
            elif before is not None:
                continue  # the value of the first proxy stays
            lines += f"{name}: {value}\r\n"
        return lines.encode("latin-1")

    def _values(self, host: str) -> dict[str, str]:
        address, proto = self.address or "unknown", "https" if self.secure else "http"
        host = host.replace(",", "%2C")  # a comma (RFC 3986 3.2.2) would split a list
        values = {}
        if self.style != "forwarded":
            values = {"X-Forwarded-For": address, "X-Forwarded-Proto": proto}
            if host:
                values["X-Forwarded-Host"] = host
        if self.style != "x-forwarded":
            node = f'"[{address}]"' if ":" in address else address  # RFC 7239 6
            values["Forwarded"] = f"for={node};proto={proto}" + (f';host="{host}"' if host else "")
        return values

    def is_looping(self, request: Request) -> bool:
        """Whether the Via of a request names this proxy already (RFC 9110 7.6.3)."""
        via = request.fields.control.get(b"via")
        if via is None or not self.pseudonym:
            return False
        own = self._entry.lower()
        return any(each.partition(b" ")[2].strip(b"\t ") == own for each in elements(via))

    @cached_property
    def _entry(self) -> bytes:
        """The proxy's entry in Via, after the version."""
        mark = f" ({self.mark})" if self.mark else ""
        return f"{self.pseudonym}{mark}".encode("latin-1")

    @cached_property
    def _via(self) -> tuple[bytes, bytes]:
        """The Via lines for a request of HTTP/1.0 and for one of HTTP/1.1."""
        if not self.pseudonym:
            return b"", b""
        return b"Via: 1.0 %b\r\n" % self._entry, b"Via: 1.1 %b\r\n" % self._entry

    @cached_property
    def _cached(self) -> dict[str, bytes]:
        """The lines of recent hosts, by host."""
        return {}
