"""The sender: what servers are told of the client that a request came from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeAlias

from vcproxy.http.message.framing import options
from vcproxy.http.message.messages import Request

Style: TypeAlias = Literal["x-forwarded", "forwarded", "both", "off"]

_PREFIXES = (b"forwarded", b"x-forwarded-")

_HOSTS = 8
"""For how many hosts the lines are kept made: a connection seldom asks for a second one."""


@dataclass(frozen=True, eq=False)
class ClientFields:
    """What is said of one client connection in Via, X-Forwarded-* and Forwarded (RFC 7239)."""

    address: str
    """The client's IP address; empty if it has none."""
    secure: bool
    """Whether it speaks TLS with us."""
    pseudonym: str = "vcproxy"
    """Our name in Via; empty: we do not enter ourselves."""
    mark: str = ""
    """What tells us from other proxies of that name: a comment in Via; empty: nothing does."""
    style: Style = "x-forwarded"
    """Which fields tell of the client; "off": none, and what is there is left as it is."""
    trusted: bool = False
    """Whether to believe what the client says of those before it. If not, it is removed."""

    def lines_for(self, request: Request, going: set[bytes]) -> bytes:
        """Return the lines that are added to a request, and add to `going` what they replace."""
        via = self._via[request.version - 10]
        if self.style == "off":
            return via
        said = [name for name in request.fields.marks if name.startswith(_PREFIXES)]
        if not said:
            return via + self._first(request.host)
        if not self.trusted:
            going.update(said)
            return via + self._first(request.host)
        return via + self._next(request, going)

    def _first(self, host: str) -> bytes:
        """The lines where nobody else has said anything."""
        lines = self._made.get(host)
        if lines is None:
            made = [f"{name}: {value}\r\n" for name, value in self._own(host).items()]
            if len(self._made) >= _HOSTS:
                self._made.clear()
            lines = self._made[host] = "".join(made).encode("latin-1")
        return lines

    def _next(self, request: Request, going: set[bytes]) -> bytes:
        """The lines behind those of proxies that are believed: ours goes to the end of a list."""
        fields, lines = request.fields, ""
        for name, value in self._own(request.host).items():
            before = fields.get(name)
            if before is not None and name in ("X-Forwarded-For", "Forwarded"):
                going.add(name.lower().encode())
                value = f"{before}, {value}" if before else value
            elif before is not None:
                continue  # what the first of them saw
            lines += f"{name}: {value}\r\n"
        return lines.encode("latin-1")

    def _own(self, host: str) -> dict[str, str]:
        address, proto = self.address or "unknown", "https" if self.secure else "http"
        host = host.replace(",", "%2C")  # it may have commas (RFC 3986 3.2.2), and these are lists
        own = {}
        if self.style != "forwarded":
            own = {"X-Forwarded-For": address, "X-Forwarded-Proto": proto}
            if host:
                own["X-Forwarded-Host"] = host
        if self.style != "x-forwarded":
            node = f'"[{address}]"' if ":" in address else address  # RFC 7239 6
            own["Forwarded"] = f"for={node};proto={proto}" + (f';host="{host}"' if host else "")
        return own

    def is_looping(self, request: Request) -> bool:
        """Whether a request has come through here before, as its Via says (RFC 9110 7.6.3)."""
        via = request.fields.marks.get(b"via")
        if via is None or not self.pseudonym:
            return False
        ours = self._entry.lower()
        return any(each.partition(b" ")[2].strip(b"\t ") == ours for each in options(via))

    @cached_property
    def _entry(self) -> bytes:
        """What stands for us in Via, behind the version."""
        mark = f" ({self.mark})" if self.mark else ""
        return f"{self.pseudonym}{mark}".encode("latin-1")

    @cached_property
    def _via(self) -> tuple[bytes, bytes]:
        """For a request of HTTP/1.0, and for one of HTTP/1.1."""
        if not self.pseudonym:
            return b"", b""
        return b"Via: 1.0 %b\r\n" % self._entry, b"Via: 1.1 %b\r\n" % self._entry

    @cached_property
    def _made(self) -> dict[str, bytes]:
        return {}
