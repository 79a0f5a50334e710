"""Dashboard: the page about a proxy, and what it asks and changes.

    GET  /dashboard/enter?token=T    exchanges a one-time token for a cookie
    GET  /dashboard/                 the page; and its files beside it
    GET  /dashboard/events           a picture each second, as server-sent events
    GET  /dashboard/details?node=N   one node of the last picture, with all its fields
    GET  /dashboard/connections      rows of the question `conns`; its arguments are the query
    GET  /dashboard/session          whether the cookie is valid
    POST /dashboard/change/COMMAND   a command, from the page itself only

All but the first needs the cookie. The way to a token is the control itself:

    POST /v1/dashboard               {"addresses": [those that let a browser in]}

Tested in tests/control/dashboard/test_dashboard.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from importlib import resources
from typing import TYPE_CHECKING, Final

from vcproxy.control.dashboard.collector import Collector
from vcproxy.control.dashboard.nodes import plain
from vcproxy.control.dashboard.sign_in import SignIn
from vcproxy.control.web.client_check import same_origin
from vcproxy.control.web.web_reply import Refusal, WebReply
from vcproxy.control.web.web_server import Guard, Handler, WebRoute

if TYPE_CHECKING:
    from vcproxy.control.controlled import Controlled
    from vcproxy.control.questions.answer import Answer
    from vcproxy.control.web.web_request import WebRequest
    from vcproxy.engine.engine import Engine

PATH: Final = "/dashboard/"

TYPES: Final = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
"""The files of the page by their ending; others are not sent."""

COMMANDS: Final = frozenset({"SERVER", "KILL", "DRAIN", "LOG_LEVEL", "RELOAD"})
"""The commands that the page has buttons for. No page needs to stop a proxy."""

FIELDS: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
}
"""Fields of each answer: nothing comes from elsewhere, and no other page can hold this one."""

NO_ADDRESS: Final = (
    "a browser needs an address of TCP, and this proxy has none for its control: write "
    'http = ["unix", "tcp://127.0.0.1:8421"] under [control], and start it again'
)

CONNECTIONS: Final = 50
"""Connections that are listed: a page with thousands helps nobody."""

SIGN_IN: Final = Refusal(401, "this page is not signed in: run vcproxy ctl dashboard")

ICON: Final = "icon.svg"

ENTERED: Final = (
    '<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0; url=./">'
    '<link rel="icon" href="icon.svg"><title>vcproxy</title>'
    '<p><a href="./">To the dashboard</a></p>\n'
)
"""Leads to the page. A redirect would not do: where the address was followed from another site, the
browser would send no cookie along (SameSite, RFC 6265bis 5.2)."""

REFUSED: Final = (
    '<!doctype html><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    '<link rel="icon" href="icon.svg">'
    "<title>vcproxy</title><h1>Not signed in</h1><p>Run <code>vcproxy ctl dashboard</code>, and "
    "open the address that it prints: it is valid once, for five minutes.</p>\n"
)


class Dashboard:
    """The dashboard of one proxy."""

    def __init__(
        self,
        engine: Engine,
        proxy: Controlled,
        command: Handler,
        make_secret: Callable[[], str],
        sites: Sequence[str],
    ) -> None:
        """Without pages.

        Args:
            engine: that of the control.
            proxy: what is shown and changed.
            command: carries out the command that stands for the `*` of a route.
            make_secret: see SignIn.
            sites: where browsers reach the server, as "http://127.0.0.1:8421".
        """
        self._sites = list(sites)
        self._proxy = proxy
        self._command = command
        self._sign_in = SignIn(make_secret, lambda: engine.now)
        self._collector = Collector(engine, proxy)
        self._collector.start()

    def routes(self) -> list[WebRoute]:
        """Return what it answers."""
        return [
            WebRoute("GET", PATH + "enter", self._enter),
            WebRoute("GET", PATH + "events", self._events, self._signed_in),
            WebRoute("GET", PATH + "details", self._details, self._signed_in),
            WebRoute("GET", PATH + "connections", self._connections, self._signed_in),
            WebRoute("GET", PATH + "session", self._session, self._signed_in),
            WebRoute("POST", PATH + "change/*", self._command, self._may_change),
            WebRoute("GET", PATH + "*", self._file),
            WebRoute("GET", "/", _lead),
            WebRoute("GET", PATH.rstrip("/"), _lead),
        ]

    def entrance(self, guard: Guard) -> WebRoute:
        """Return what answers with an address that lets one browser in. `guard`: who gets one."""
        return WebRoute("POST", "/v1/dashboard", self._entrance, guard)

    def addresses(self) -> list[str]:
        """Return the address at each site, with a token that lets one browser in."""
        path = f"{PATH}enter?token={self._sign_in.token()}"
        return [site + path for site in self._sites]

    def close(self) -> None:
        """End all pages."""
        self._collector.close()

    # -- who may -------------------------------------------------------------------------------

    def _signed_in(self, request: WebRequest) -> Refusal | None:
        """Refuse who has no cookie, and other sites that use the browser of who has one.

        To a browser, a page at another port of this host is of the same site: it sends the cookie.
        """
        if not self._sign_in.knows(request.cookie(_cookie_name(request))):
            return SIGN_IN
        if request.fields.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            return Refusal(403, "a page of another origin may not ask this server")
        return None

    def _may_change(self, request: WebRequest) -> Refusal | None:
        refusal = self._signed_in(request)
        if refusal is not None:
            return refusal
        origin = request.fields.get("origin", "")
        if not same_origin(request, origin):
            return Refusal(403, f'Origin "{origin}" is not this server: it may change nothing')
        if request.fields.get("content-type", "").partition(";")[0].strip() != "application/json":
            return Refusal(415, "the body must be application/json")
        if request.path.removeprefix(PATH + "change/") not in COMMANDS:
            return Refusal(404, f"there is no change {request.path[:80]}")
        return None

    # -- handlers --------------------------------------------------------------------------------

    def _entrance(self, request: WebRequest, reply: WebReply) -> None:
        if not self._sites:
            reply.error(409, NO_ADDRESS)
            return
        reply.send(200, json.dumps({"addresses": self.addresses()}).encode() + b"\n")

    def _enter(self, request: WebRequest, reply: WebReply) -> None:
        if request.method == "HEAD":  # a preview of the address: the token is not for it
            _page(reply, 200, "")
            return
        cookie = self._sign_in.exchange(request.query.get("token", ""))
        if not cookie:
            _page(reply, 401, REFUSED)
            return
        value = f"{_cookie_name(request)}={cookie}; Path={PATH}; HttpOnly; SameSite=Strict"
        _page(reply, 200, ENTERED, {"Set-Cookie": value + ("; Secure" if request.secure else "")})

    def _file(self, request: WebRequest, reply: WebReply) -> None:
        name = request.rest or "index.html"
        known = self._sign_in.knows(request.cookie(_cookie_name(request)))
        if not known and name != ICON:  # the page that refuses has it too
            _page(reply, 401, REFUSED)
            return
        content_type = TYPES.get(name.rpartition(".")[2])
        if "/" in name or content_type is None:
            reply.error(404, f"there is no {request.path[:80]} here")
            return
        try:
            data = (resources.files(__package__) / "page" / name).read_bytes()
        except OSError:  # a name that no file can have, too
            reply.error(404, f"there is no {request.path[:80]} here")
            return
        reply.send(200, data, content_type, FIELDS)

    def _session(self, request: WebRequest, reply: WebReply) -> None:
        reply.send(200, b"{}\n")

    def _events(self, request: WebRequest, reply: WebReply) -> None:
        if self._collector.full:
            reply.error(503, "enough pages of the dashboard are open")
            return
        stream = reply.stream(fields=FIELDS, closed=lambda: self._collector.remove(stream))
        self._collector.add(stream)

    def _details(self, request: WebRequest, reply: WebReply) -> None:
        name = request.query.get("node", "")
        node = self._collector.node(name)
        if node is None:
            reply.error(404, f"there is no {name[:80]} in the picture")
            return
        reply.send(200, json.dumps(plain(node)).encode() + b"\n")

    def _connections(self, request: WebRequest, reply: WebReply) -> None:
        arguments = {**request.query, "limit": str(CONNECTIONS)}
        self._proxy.ask("conns", arguments, partial(_send_connections, reply))


def _send_connections(reply: WebReply, answer: Answer) -> None:
    if answer.error:
        reply.error(400, answer.error)
        return
    rows = [
        {
            "id": row["id"],
            "client": row["client"],
            "server": row["server"],
            "state": row["state"],
            "age": plain(row["age"]),
            "bytes": row["bytes_in"] + row["bytes_out"],
        }
        for row in answer.rows
    ]
    reply.send(200, json.dumps({"rows": rows, "missing": answer.missing}).encode() + b"\n")


def _lead(request: WebRequest, reply: WebReply) -> None:
    """Lead to the page who has left out its path."""
    reply.send(308, b"", TYPES["html"], {"Location": PATH})


def _page(reply: WebReply, status: int, text: str, fields: dict[str, str] | None = None) -> None:
    reply.send(status, text.encode(), TYPES["html"], {**FIELDS, **(fields or {})})


def _cookie_name(request: WebRequest) -> str:
    """Return the name of the cookie. It has the port: cookies of all ports of a host are sent to
    all of them, and several proxies may run."""
    port = request.host.rpartition(":")[2]
    return f"vcproxy_dashboard_{port}" if port.isdigit() else "vcproxy_dashboard"
