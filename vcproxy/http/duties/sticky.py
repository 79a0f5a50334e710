"""sticky: a client stays with the server that has served it, by a cookie that is inserted.

As HAProxy's `cookie NAME insert indirect nocache`, but the value reveals nothing about the server.
Tested in tests/http/duties/test_sticky.py.
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

from pydantic import AfterValidator

from vcproxy.config.secret import Secret
from vcproxy.config.values import Duration
from vcproxy.http.duties.duty import Duty, DutyPhases
from vcproxy.http.message.cookies import cookie, remove_cookie
from vcproxy.http.option_texts import Token
from vcproxy.instruments.counter import Counter

if TYPE_CHECKING:
    from vcproxy.http.proxy.transaction import Transaction
    from vcproxy.upstream.server import Server
    from vcproxy.upstream.upstream import Upstream

SHORTEST = 16
"""Characters of a secret: as many as a key of 128 bits has bytes. With a guessed secret, the value
of a cookie can be compared with those of all likely addresses."""

VALUE_BYTES = 12
"""Bytes of a value: 96 bits, so that no two servers have the same one."""

NOTE = "vcproxy.sticky"
"""The key of a request's Stickiness in `notes`."""


def _cookie_path(text: str) -> str:
    if not text.startswith("/") or not text.isascii() or not text.isprintable() or ";" in text:
        raise ValueError(f'"{text}" is not a path of a cookie: it begins with "/" and has no ";"')
    return text


@dataclass(frozen=True)
class Sticky(Duty):
    """A cookie by which a client stays with its server, also while that one is drained.

    A server that is down or in maintenance is replaced by another one, with a new cookie.
    """

    secret: Secret
    """A text of at least 16 random characters, the same in all proxies that serve the same clients:
    values of cookies are computed from it and the server's address. It is best kept in a file:
    { file = "sticky.secret" }."""

    cookie: Token = ""
    """The name of the cookie. Left out: "vcproxy_" and six characters that differ for each
    upstream."""

    path: Annotated[str, AfterValidator(_cookie_path)] = "/"
    """The path below which clients send the cookie."""

    secure: bool | None = None
    """Whether clients send it over TLS only. Left out: if the client is connected by TLS."""

    same_site: Literal["Lax", "Strict", "None"] = "Lax"
    """Whether clients send it with requests that other sites cause. "None" needs secure = true."""

    lifetime: Duration = 0.0
    """How long clients keep it, from the first response on. "0s": until they are closed."""

    def __post_init__(self) -> None:
        if len(self.secret.reveal()) < SHORTEST:
            raise ValueError(
                f"the secret has fewer than {SHORTEST} characters, and could be guessed: "
                "head -c 24 /dev/urandom | base64"
            )
        if self.same_site == "None" and not self.secure:
            raise ValueError('same_site = "None" needs secure = true: browsers drop it otherwise')

    def phases(self) -> StickyPhases:
        """See Duty."""
        return StickyPhases(self)


class Stickiness(NamedTuple):
    """What is kept of a request until its response."""

    upstream: Upstream
    """The upstream of its route."""
    sent: str | None
    """The value of the client's cookie; None: it has sent none."""


class ServerCookies:
    """The cookies of the servers of one upstream."""

    __slots__ = ("_by_name", "_by_value", "_key", "_servers", "_upstream", "name")

    def __init__(self, upstream: Upstream, options: Sticky) -> None:
        self._key = options.secret.reveal().encode()
        self._upstream = upstream
        self._servers: Sequence[Server] = ()
        self._by_value: dict[str, Server] = {}
        self._by_name: dict[str, str] = {}
        self.name = options.cookie or f"vcproxy_{self._digest()[:6]}"
        """The name of the cookie."""

    def server(self, value: str) -> Server | None:
        """Return the server with this value; None: there is none."""
        self._update()
        return self._by_value.get(value)

    def value(self, address: str) -> str:
        """Return the value of the server with this address; empty: there is none."""
        self._update()
        return self._by_name.get(address, "")

    def _update(self) -> None:
        """Compute the values again if the upstream has got other servers, from a look-up."""
        if self._servers is self._upstream.servers:
            return
        self._servers = self._upstream.servers
        values = [(self._digest(each.name), each) for each in self._servers]
        self._by_value = dict(values)
        self._by_name = {str(each.address): value for value, each in values}

    def _digest(self, *names: str) -> str:
        text = "\0".join((self._upstream.name, *names)).encode()
        digest = hmac.digest(self._key, text, "sha256")[:VALUE_BYTES]
        return urlsafe_b64encode(digest).decode()


class StickyPhases(DutyPhases):
    """Finds the server of a client, and gives clients their cookies."""

    moved = Counter("http_sticky_moved", "Requests that another server got than the client's.")

    def __init__(self, options: Sticky) -> None:
        super().__init__(options)
        self._sticky = options
        self._upstreams: dict[Upstream, ServerCookies] = {}
        attributes = f"; Path={options.path}"
        if options.lifetime:
            attributes += f"; Max-Age={options.lifetime:.0f}"
        self._attributes = f"{attributes}; HttpOnly; SameSite={options.same_site}"

    def route(self, tx: Transaction) -> None:
        """Prefer the server whose cookie the client has sent; the server does not get it."""
        upstream = tx.upstream
        if tx.route is None or upstream is None:  # the client has named the server
            return
        cookies = self._upstreams.get(upstream)
        if cookies is None:
            cookies = self._upstreams[upstream] = ServerCookies(upstream, self._sticky)
        sent = cookie(tx.request.fields, cookies.name)
        if sent is not None:
            tx.preferred = cookies.server(sent)
            remove_cookie(tx.request.fields, cookies.name)
        tx.notes[NOTE] = Stickiness(upstream, sent)

    def response_head(self, tx: Transaction) -> None:
        """Give the client a cookie if another server has answered than that of its cookie."""
        note = tx.notes.get(NOTE)
        if not isinstance(note, Stickiness) or tx.upstream is not note.upstream:
            return  # the client, or a filter, has chosen the server
        sent, cookies = note.sent, self._upstreams[note.upstream]
        value = cookies.value(tx.server)
        if not value or value == sent:
            return
        if sent is not None:
            self.moved.add()
        fields = tx.response.fields
        secure = tx.secure if self._sticky.secure is None else self._sticky.secure
        marks = "; Secure" if secure else ""
        fields.add("Set-Cookie", f"{cookies.name}={value}{self._attributes}{marks}")
        control = fields.get("Cache-Control", "").lower()
        if "private" not in control and "no-store" not in control:
            fields.add("Cache-Control", "private")  # a shared cache would give it to other clients
