"""The requests of a machine server: each form, and each malformed one with its reason."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcproxy.bus.mailbox.letter import Letter
from vcproxy.supervise.machine_name import MachineName
from vcproxy.supervise.server_request import (
    ListRequest,
    RegisterRequest,
    Request,
    StartRequest,
    StopRequest,
    UnregisterRequest,
    parse_request,
)

ECHO = MachineName("echo/Echo")


@pytest.mark.parametrize(
    ("text", "request_"),
    [
        ("start echo/Echo :0", StartRequest(ECHO, 0, ())),
        ("start echo/Echo", StartRequest(ECHO, 0, ())),
        ("start echo/Echo :5000 a b", StartRequest(ECHO, 5000, ("a", "b"))),
        ("start echo/Echo 192.0.2.7:5000", StartRequest(ECHO, 5000, ())),
        ("start echo/Echo [::1]:5000", StartRequest(ECHO, 5000, ())),
        ("stop 5000", StopRequest(5000)),
        ("stop :5000", StopRequest(5000)),
        ("list", ListRequest()),
        (" list\n", ListRequest()),
        ("register echo/Echo 22364", RegisterRequest("echo/Echo", 22364)),
        ("unregister", UnregisterRequest()),
    ],
)
def test_a_request(text: str, request_: Request) -> None:
    assert parse_request(Letter(("127.0.0.1", 50498), text, ("127.0.0.1", 42000))) == request_


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", '"" is not a request; known are start, stop, list, register, unregister'),
        ("exit", '"exit" is not a request; known are start, stop, list, register, unregister'),
        ("LIST", '"LIST" is not a request; known are start, stop, list, register, unregister'),
        ("start", "start has 0 words after it; it needs NAME and may have :PORT and arguments"),
        ("start echo/Echo here", 'the port must be a decimal number, not "here"'),
        ("start echo/Echo :65536", "the port 65536 is above 65535"),
        ("start echo/Echo :-1", 'the port must be a decimal number, not "-1"'),
        ("start echo/Echo :\u0663", 'the port must be a decimal number, not "\u0663"'),
        ("stop", "stop has 0 words after it; it needs PORT"),
        ("stop 1 2", "stop has 2 words after it; it needs PORT"),
        ("stop echo/Echo", 'the port must be a decimal number, not "echo/Echo"'),
        ("list all", "list has 1 words after it; it needs none"),
        ("register echo/Echo", "register has 1 words after it; it needs NAME and PID"),
        ("register echo/Echo x", 'the pid must be a decimal number, not "x"'),
        ("register a " + "9" * 5000, f'the pid must be a decimal number, not "{"9" * 40}"'),
    ],
)
def test_a_malformed_request(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)):
        parse_request(Letter(("127.0.0.1", 50498), text, ("127.0.0.1", 42000)))


@given(st.text())
def test_any_text_is_a_request_or_refused(text: str) -> None:
    try:
        request = parse_request(Letter(("127.0.0.1", 50498), text, ("127.0.0.1", 42000)))
    except ValueError:
        return
    assert isinstance(request, Request)
