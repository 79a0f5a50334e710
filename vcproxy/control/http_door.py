"""The HTTP door of a running proxy: its questions and commands as JSON. `vcproxy ctl` uses it.

    GET  /v1/help            what can be asked and done
    GET  /v1/show/NAME       the rows of a question; its arguments are the query
    POST /v1/COMMAND         a command; its parameters are a JSON object

Over a Unix socket the mode of its file decides who may come in; over TCP a token is required. What
is refused is answered with {"error": text}.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from vcproxy.control.commands import COMMANDS
from vcproxy.control.web.client_check import bearer, same_site
from vcproxy.control.web.web_reply import Refusal, WebReply
from vcproxy.control.web.web_server import WebRoute, WebServer

if TYPE_CHECKING:
    from vcproxy.control.controlled import Controlled
    from vcproxy.control.web.web_request import WebRequest
    from vcproxy.engine.engine import Engine

ROWS_PER_PIECE: Final = 50
"""Rows that are encoded at a time: the encoder holds the interpreter, 10 us for each (measured),
and the net threads wait meanwhile."""


class HttpDoor:
    """Answers the requests of one proxy."""

    def __init__(self, proxy: Controlled, *, token: str = "", hosts: Collection[str] = ()) -> None:
        """`token`: what clients over TCP send; `hosts`: see `same_site`."""
        self._proxy = proxy
        self._token = token
        self._hosts = frozenset(hosts)

    def server(self, engine: Engine, *more: WebRoute, unix: bool) -> WebServer:
        """Return the server for its Unix sockets, or that for its other addresses.

        `more`: routes that go before its own.
        """
        routes = [*more, *self.routes()]
        return WebServer(engine, "control (HTTP)", routes, guard=self.same_site, unix=unix)

    def routes(self) -> list[WebRoute]:
        """Return what it answers."""
        return [
            WebRoute("GET", "/v1/help", self._help, self.allowed),
            WebRoute("POST", "/v1/*", self.command, self.allowed),
        ]

    def same_site(self, request: WebRequest) -> Refusal | None:
        """Refuse requests that pages of other sites have sent. A Guard."""
        return same_site(request, self._hosts)

    def allowed(self, request: WebRequest) -> Refusal | None:
        """Refuse clients over TCP that do not send the token. A Guard."""
        return None if request.unix else bearer(request, self._token)

    # -- commands ----------------------------------------------------------------------------

    def _help(self, request: WebRequest, reply: WebReply) -> None:
        commands = {name: {"changes": each.changes} for name, each in COMMANDS.items()}
        reply.send(200, json.dumps({"commands": commands}, indent=1).encode() + b"\n")

    def command(self, request: WebRequest, reply: WebReply) -> None:
        """Carry out the command that stands for the `*` of the route. A Handler."""
        name = request.rest.upper().replace("-", "_")
        command = COMMANDS.get(name)
        if command is None:
            reply.error(404, f"there is no command {request.rest[:80]}: see /v1/help")
            return
        try:
            parameters = _texts(request.json())
        except ValueError as error:
            reply.error(400, str(error))
            return
        command.run(self._proxy, parameters, partial(_answer, reply))


def _texts(given: Mapping[str, object]) -> dict[str, str]:
    """Return parameters as commands take them. Raises ValueError."""
    texts: dict[str, str] = {}
    for name, value in given.items():
        if isinstance(value, bool):
            texts[name] = "true" if value else "false"
        elif isinstance(value, str | int):
            texts[name] = str(value)
        else:
            raise ValueError(f"{name}: must be a text or a whole number")
    return texts


def _answer(reply: WebReply, command: str, /, **parameters: str | int) -> None:
    """Send the reply to a command: {"reply": its name, ...}, or {"error": text, ...}."""
    status = _status(command)
    if status == HTTPStatus.OK:
        answer = {"reply": command, **parameters}
    else:
        text = parameters.get("message") or parameters.get("reason") or command
        answer = {"error": text, "reply": command, **parameters}
    reply.send(status, json.dumps(answer).encode() + b"\n")


def _status(command: str) -> int:
    """Return the status for the reply to a command, by its name."""
    if command == "INVALID":
        return HTTPStatus.BAD_REQUEST
    if command == "UNKNOWN":
        return HTTPStatus.NOT_FOUND
    if command.startswith("NOT_"):
        return HTTPStatus.CONFLICT
    return HTTPStatus.OK


def rows_in_pieces(rows: Sequence[object], rest: Mapping[str, object]) -> Iterator[bytes]:
    """Yield {"rows": rows, ...rest} as JSON, a few rows at a time, one on each line."""
    yield b'{"rows": ['
    for at in range(0, len(rows), ROWS_PER_PIECE):
        lines = ",\n".join(json.dumps(row) for row in rows[at : at + ROWS_PER_PIECE])
        yield (",\n" if at else "\n").encode() + lines.encode()
    yield b"]" + "".join(f", {json.dumps(k)}: {json.dumps(v)}" for k, v in rest.items()).encode()
    yield b"}\n"
