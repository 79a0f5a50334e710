"""The HTTP door of a running proxy: its questions and commands as JSON. `vcproxy ctl` uses it.

    GET  /v1/help            what can be asked and done
    GET  /v1/trace/CONN      the events of a connection, as they happen (server-sent events)
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

from vcproxy.bus.message.bus_message import BusMessage
from vcproxy.control.commands import COMMANDS
from vcproxy.control.questions.table import QUESTIONS
from vcproxy.control.web.client_check import bearer, same_site
from vcproxy.control.web.web_reply import Refusal, WebReply, event_text
from vcproxy.control.web.web_server import WebRoute, WebServer

if TYPE_CHECKING:
    from vcproxy.bus.message.definitions import Definitions
    from vcproxy.control.controlled import Controlled
    from vcproxy.control.questions.answer import Answer
    from vcproxy.control.web.web_reply import WebStream
    from vcproxy.control.web.web_request import WebRequest
    from vcproxy.engine.engine import Engine
    from vcproxy.engine.log_function import LogFunction

ROWS_PER_PIECE: Final = 50
"""Rows that are encoded at a time: the encoder holds the interpreter, 10 us for each (measured),
and the net threads wait meanwhile."""


class HttpDoor:
    """Answers the requests of one proxy."""

    def __init__(
        self,
        proxy: Controlled,
        definitions: Definitions,
        log: LogFunction,
        *,
        token: str = "",
        hosts: Collection[str] = (),
    ) -> None:
        """`definitions`: of the commands' parameters; `token`: what clients over TCP send; `hosts`:
        see `same_site`."""
        self._proxy = proxy
        self._definitions = definitions
        self._log = log
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
            WebRoute("GET", "/v1/show/*", self._show, self.allowed),
            WebRoute("GET", "/v1/trace/*", self._trace, self.allowed),
            WebRoute("POST", "/v1/*", self.command, self.allowed),
        ]

    def same_site(self, request: WebRequest) -> Refusal | None:
        """Refuse requests that pages of other sites have sent. A Guard."""
        return same_site(request, self._hosts)

    def allowed(self, request: WebRequest) -> Refusal | None:
        """Refuse clients over TCP that do not send the token. A Guard."""
        return None if request.unix else bearer(request, self._token)

    # -- questions ---------------------------------------------------------------------------

    def _show(self, request: WebRequest, reply: WebReply) -> None:
        name = request.rest

        def answered(answer: Answer) -> None:
            if answer.error:
                reply.error(400 if name in QUESTIONS else 404, answer.error)
            else:
                columns = [each.name for each in QUESTIONS[name].columns]
                units = {each.name: each.unit for each in QUESTIONS[name].columns if each.unit}
                before = {"question": name, "columns": columns, "units": units}
                reply.send(200, _rows_in_pieces(before, answer))

        self._proxy.ask(name, request.query, answered)

    def _trace(self, request: WebRequest, reply: WebReply) -> None:
        stream: WebStream | None = None

        def events(received: Sequence[Mapping[str, object]]) -> None:
            nonlocal stream
            if stream is None:  # there is such a connection
                stream = reply.stream(closed=lambda: stop())
            for each in received:
                stream.send(event_text(json.dumps(each)))

        def ended(why: str) -> None:
            if stream is None:
                reply.error(404, why)
            else:
                stream.send(event_text(json.dumps({"end": why}), "end"))
                stream.close()

        stop = self._proxy.trace(request.rest, events, ended)

    def _help(self, request: WebRequest, reply: WebReply) -> None:
        questions = {
            name: {
                "about": each.doc,
                "columns": {column.name: column.doc for column in each.columns},
                "arguments": {argument.name: argument.doc for argument in each.arguments},
            }
            for name, each in QUESTIONS.items()
        }
        commands = {
            name: {"changes": each.changes, **self._about(name)} for name, each in COMMANDS.items()
        }
        answer = {"questions": questions, "commands": commands}
        reply.send(200, json.dumps(answer, indent=1).encode() + b"\n")

    def _about(self, command: str) -> dict[str, object]:
        definition = self._definitions.get(command)
        if definition is None:
            return {}
        parameters = {each.name: each.description for each in definition.parameters}
        return {"about": definition.description, "parameters": parameters}

    # -- commands ----------------------------------------------------------------------------

    def command(self, request: WebRequest, reply: WebReply) -> None:
        """Carry out the command that stands for the `*` of the route. A Handler."""
        name = request.rest.upper().replace("-", "_")
        command = COMMANDS.get(name)
        if command is None:
            reply.error(404, f"there is no command {request.rest[:80]}: see /v1/help")
            return
        try:
            parameters = _texts(request.json())
            problems = self._definitions.problems(BusMessage(name, parameters))
        except ValueError as error:
            reply.error(400, str(error))
            return
        if problems:
            reply.error(400, f"{name}: {'; '.join(problems)}")
        else:
            command.carry_out(
                self._proxy,
                parameters,
                partial(_answer, reply),
                origin=request.client,
                log=self._log,
            )


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
        try:
            (name + texts[name]).encode()
        except UnicodeEncodeError:  # half of a surrogate pair: JSON can contain it, UTF-8 cannot
            raise ValueError(f"{name}: is not Unicode text") from None
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


def _rows_in_pieces(before: Mapping[str, object], answer: Answer) -> Iterator[bytes]:
    """Yield {...before, "rows": [...], "missing": [...]} as JSON, a few rows at a time, one on each
    line."""
    yield json.dumps(before)[:-1].encode() + b', "rows": ['
    rows = answer.rows
    for at in range(0, len(rows), ROWS_PER_PIECE):
        lines = ",\n".join(map(json.dumps, rows[at : at + ROWS_PER_PIECE]))
        yield (",\n" if at else "\n").encode() + lines.encode()
    yield b'], "missing": ' + json.dumps(answer.missing).encode() + b"}\n"
