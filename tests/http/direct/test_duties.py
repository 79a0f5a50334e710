"""Duties that only edit heads: the direct path does what the ordinary path does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.http.direct.test_differences import (
    AFTER,
    FIRST,
    GET,
    IN_FLIGHT,
    OK,
    ONE,
    REQUESTS,
    RESPONSES,
    answer_all,
    connect,
    of_client,
    reply,
    send,
)
from tests.http.direct.twins import Play, Step, both, play
from tests.http.proxy.harness import PLAIN, answer, request
from vcproxy.config.file_content import FileContent
from vcproxy.http.credentials.tokens_file import Tokens
from vcproxy.http.duties.bearer import Bearer
from vcproxy.http.duties.redirect import Redirect
from vcproxy.http.duties.request_fields import RequestFieldEdits
from vcproxy.http.duties.request_id import RequestId
from vcproxy.http.duties.response_fields import ResponseFieldEdits
from vcproxy.http.duties.rewrite import Rewrite
from vcproxy.http.duties.strict_transport_security import StrictTransportSecurity
from vcproxy.http.proxy.options import Options
from vcproxy.http.proxy.routing import Route

TOKENS = FileContent(Path("tokens"), Tokens({}))
TAGGED = RequestFieldEdits(set={"X-Tag": "1", "Host": "b"}, add={"X": "2"}, remove=("Cookie",))
SAFE = ResponseFieldEdits(
    set={"Server": "p", "Keep-It": ""}, add={"Vary": "B", "X-Safe": "1"}, remove=("ETag",)
)
DATED = ResponseFieldEdits(remove=("Date",))
AWAY = Redirect(to="https://b{uri}")
ALL = Options(
    forwarded="off",
    request_fields=TAGGED,
    response_fields=SAFE,
    rewrite=Rewrite("/a", "/c"),
    strict_transport_security=StrictTransportSecurity(),
)
LISTENERS: dict[str, Options] = {
    "request fields": replace(PLAIN, request_fields=TAGGED),
    "response fields": replace(PLAIN, response_fields=SAFE),
    "no date": replace(PLAIN, response_fields=DATED),
    "a date": replace(PLAIN, response_fields=ResponseFieldEdits(set={"Date": "now"})),
    "rewrite": replace(PLAIN, rewrite=Rewrite("/a", "/c")),
    "all": ALL,
    "forwarded": replace(ALL, forwarded="both"),
    "redirect": replace(PLAIN, redirect=AWAY, response_fields=SAFE),
    "to https": replace(PLAIN, redirect=Redirect(https=True)),
    "of routes": replace(
        ALL,
        response_fields=SAFE,
        routes=(
            Route(path="/a", redirect=AWAY, response_fields=DATED),
            Route(path="/1", without=("rewrite", "response_fields")),
            Route(headers={"X": "1"}, request_fields=RequestFieldEdits(remove=("X",))),
            Route(),
        ),
    ),
    "an early redirect": replace(
        PLAIN,
        redirect=AWAY,
        response_fields=SAFE,
        routes=(Route(path="/a", response_fields=DATED), Route(path="/b")),
    ),
    "a redirect of the changed path": replace(
        PLAIN, routes=(Route(redirect=AWAY, rewrite=Rewrite("/a", "/c")),)
    ),
    "of a host": replace(PLAIN, routes=(Route(host="a", rewrite=Rewrite("/a")), Route())),
    "a field of users": replace(
        PLAIN,
        routes=(
            Route(path="/1", bearer=Bearer(tokens=TOKENS, user_field="X")),
            Route(path="/b", response_fields=SAFE),
            Route(),
        ),
    ),
    "one ordinary route": replace(
        PLAIN, routes=(Route(path="/a", request_id=RequestId()), Route(response_fields=SAFE))
    ),
}

EDITED = {
    "cookie": request("GET", "/a/x?y", "Cookie: c=1", "X: 1"),
    "twins": request("GET", "/a", "X_Tag: 1", "X-tag: 2", "x: 3"),
    "climbing": request("GET", "/a/../b"),
    "spelled": request("GET", "//%61//x?y=//"),
    "another": request("GET", "/1"),
}
EDITABLE = {
    "tagged": answer(b"abc", "Date: x", "ETag: 1", "Server: s", "Vary: A", "X_Safe: 2"),
    "secure": answer(b"abc", "Date: x", "Strict-Transport-Security: max-age=1"),
    "undated": answer(b"abc", "Server: a"),
    "error": answer(b"abc", "Date: x", "keep-it: 1", status="500 Broken"),
}


@pytest.mark.parametrize("options", LISTENERS)
def test_each_request(options: str) -> None:
    world = replace(ONE, options=LISTENERS[options])
    for sent in (*REQUESTS.values(), *EDITED.values()):
        again = [send(sent), answer_all, send(sent), answer_all, send(sent), answer_all]
        both([*FIRST, *again, *AFTER["another"]], world)


@pytest.mark.parametrize("options", LISTENERS)
def test_each_response(options: str) -> None:
    world = replace(ONE, options=LISTENERS[options])
    for sent in (*RESPONSES.values(), *EDITABLE.values()):
        again = [send(request("GET", "/b")), reply(sent)]
        both([*FIRST, *again, *again, *again, *AFTER["another"]], world)


@pytest.mark.parametrize("event", IN_FLIGHT)
def test_each_event_between_request_and_response(event: str) -> None:
    steps: list[Step] = [*FIRST, send(GET), IN_FLIGHT[event], answer_all, send(GET), answer_all]
    for name in ("all", "of routes", "redirect"):
        both(steps, replace(ONE, options=LISTENERS[name]))


SENT = [send(EDITED["cookie"]), reply(answer(b"abc", "Date: x", "ETag: 1", "Vary: A"))]


@pytest.mark.parametrize(
    ("options", "directly"),
    [
        *((name, 4) for name in ("request fields", "response fields", "no date", "rewrite", "all")),
        ("redirect", 5),  # no server's connection is waited for
        ("to https", 5),
        ("a field of users", 4),
        ("one ordinary route", 0),
    ],
)
def test_they_stay_on_the_direct_path(options: str, directly: int) -> None:
    steps = [connect, *SENT * 5]
    world = replace(ONE, options=LISTENERS[options])
    assert both(steps, world) == directly


def test_what_the_direct_path_sends() -> None:
    seen: list[bytes] = []

    def note(this: Play) -> None:
        seen.append(bytes(this.connections[0].received).split(b"\r\n\r\n")[-2])
        seen.append(bytes(this.clients[0].received).split(b"\r\n\r\n")[-2])

    play([connect, *SENT * 3, note], replace(ONE, options=ALL), direct=True)
    assert seen == [
        b"GET /c/x?y HTTP/1.1\r\nX: 1\r\nX-Tag: 1\r\nHost: b\r\nX: 2\r\nVia: 1.1 vcproxy",
        b"abcHTTP/1.1 200 OK\r\nContent-Length: 3\r\nDate: x\r\nVary: A\r\nServer: p\r\nKeep-It:"
        b"\r\nVary: B\r\nX-Safe: 1\r\nVia: 1.1 vcproxy",
    ]


def test_a_client_that_reads_slowly() -> None:
    world = replace(ONE, options=replace(PLAIN, redirect=Redirect(to="/" + "x" * 9000)))
    steps: list[Step] = [connect, of_client("stall"), *[send(GET)] * 20, of_client("resume")]
    both([*steps, send(GET)], world)


def test_a_request_that_is_sent_again_is_edited_again() -> None:
    """The server ends its connection just as the request is sent."""

    def end(this: Play) -> None:
        this.connections[0].end()

    both([*FIRST, send(GET), reply(OK), send(GET), end, answer_all], replace(ONE, options=ALL))
