"""HeadCache: cached results are equal to computed ones."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcproxy.http.message.bad_message import BadMessage
from vcproxy.http.message.client_fields import ClientFields
from vcproxy.http.message.forwarding import to_client, to_server
from vcproxy.http.message.head_cache import MAX_HEADS, MAX_SIZE, HeadCache
from vcproxy.http.message.limits import MessageLimits
from vcproxy.http.message.parsing import parse_request, parse_response

LIMITS = MessageLimits()
SENDER = ClientFields("192.0.2.1", secure=False)

LINES = [
    "GET / HTTP/1.1", "GET /a?b HTTP/1.1", "POST /a HTTP/1.1", "GET http://a/ HTTP/1.1",
    "OPTIONS * HTTP/1.1", "HEAD / HTTP/1.0", "get /x HTTP/1.1", "GET /\x7f HTTP/1.1",
]  # fmt: skip
FIELDS = [
    "Host: a\r\n", "Host: a\r\nContent-Length: 3\r\n", "Host: a\r\nConnection: close\r\n",
    "Host: b\r\nX-Forwarded-For: 1\r\n", "Host: a\r\nX: " + "x" * MAX_SIZE + "\r\n",
    "Host: a\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n",
]  # fmt: skip
STATUSES = ["HTTP/1.1 200 OK", "HTTP/1.0 404 no", "HTTP/1.1 304 ", "HTTP/1.1 101 x",
            "HTTP/2 200 x"]  # fmt: skip


@given(heads=st.lists(st.tuples(st.sampled_from(LINES), st.sampled_from(FIELDS)), max_size=30))
def test_requests_are_read_and_sent_on_as_if_for_the_first_time(
    heads: list[tuple[str, str]],
) -> None:
    known = HeadCache(LIMITS)
    for line, fields in heads:
        head = f"{line}\r\n{fields}\r\n".encode("latin-1")
        try:
            plain = parse_request(head, LIMITS)
        except BadMessage as problem:
            with pytest.raises(BadMessage, match=re.escape(problem.why)):
                known.request(head)
            continue
        request = known.request(head)
        for slot in plain.__slots__:
            assert getattr(request, slot) == getattr(plain, slot)
        assert known.to_server(request, SENDER) == to_server(plain, SENDER)


@given(
    heads=st.lists(st.tuples(st.sampled_from(STATUSES), st.sampled_from(FIELDS)), max_size=30),
    method=st.sampled_from(["GET", "HEAD"]),
    keep=st.booleans(),
)
def test_responses_are_sent_on_as_if_for_the_first_time(
    heads: list[tuple[str, str]], method: str, keep: bool
) -> None:
    known = HeadCache(LIMITS)
    for line, fields in heads:
        head = f"{line}\r\n{fields}\r\n".encode("latin-1")
        try:
            plain = parse_response(head, LIMITS, method)
        except BadMessage:
            with pytest.raises(BadMessage):
                known.response(head, method)
            continue
        response = known.response(head, method)
        for slot in plain.__slots__:
            assert getattr(response, slot) == getattr(plain, slot)
        result = {"pseudonym": "p", "version": 11, "keep": keep, "body": plain.body}
        assert known.to_client(response, **result) == to_client(plain, **result)  # type: ignore[arg-type]


def test_returned_heads_are_copies() -> None:
    known = HeadCache(LIMITS)
    head = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    for _ in range(4):
        request = known.request(head)
        assert "X" not in request.fields
        request.fields["X"] = "1"
        assert b"\r\nX: 1\r\n" in known.to_server(request, SENDER)


def test_a_target_that_a_filter_has_spoilt_is_refused_each_time() -> None:
    known = HeadCache(LIMITS)
    for target in ("/", "/", "/", "/ HTTP/1.1\r\nX: 1"):
        request = known.request(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        request.target = target
        if target == "/":
            known.to_server(request, SENDER)
        else:
            with pytest.raises(ValueError, match="request line"):
                known.to_server(request, SENDER)


def test_tables_do_not_grow_without_end() -> None:
    known = HeadCache(LIMITS)
    for number in range(20 * MAX_HEADS):
        for _ in range(2):
            known.request(b"GET / HTTP/1.1\r\nHost: h%d\r\n\r\n" % number)
    assert len(known._requests._twice) <= MAX_HEADS


@pytest.mark.parametrize(("size", "times", "kept"), [(0, 1, 0), (0, 3, 1), (MAX_SIZE, 3, 0)])
def test_only_short_heads_that_come_again_are_kept(size: int, times: int, kept: int) -> None:
    known = HeadCache(LIMITS)
    line = b"X: " + b"x" * size + b"\r\n"
    for _ in range(times):
        request = known.request(b"GET / HTTP/1.1\r\nHost: a\r\n" + line + b"\r\n")
        known.to_server(request, SENDER)
        response = known.response(b"HTTP/1.1 200 OK\r\n" + line + b"\r\n", "GET")
        known.to_client(response, pseudonym="p", version=11, keep=True, body=0)
    for table in (
        known._requests,
        known._forwarded_requests,
        known._responses,
        known._forwarded_responses,
    ):
        assert len(table._twice) == kept


@pytest.mark.parametrize(("size", "kept"), [(MAX_SIZE, 1), (MAX_SIZE + 1, 0)])
def test_which_heads_are_short(size: int, kept: int) -> None:
    known = HeadCache(LIMITS)
    fields = b"Host: a\r\nX: %b\r\n\r\n" % (b"x" * (size - 16))
    assert len(fields) == size
    for _ in range(2):
        known.to_server(known.request(b"GET / HTTP/1.1\r\n" + fields), SENDER)
    assert [len(table._twice) for table in (known._requests, known._forwarded_requests)] == [
        kept,
        kept,
    ]


ADDED = [b"", b"X-Request-ID: 1\r\n", b"X-Request-ID: 22\r\n", b"A: 1\r\nB: 2\r\n"]


@given(
    messages=st.lists(st.tuples(st.sampled_from(FIELDS[:2]), st.sampled_from(ADDED)), max_size=30)
)
def test_what_is_added_is_never_that_of_another_message(messages: list[tuple[str, bytes]]) -> None:
    known = HeadCache(LIMITS)
    for fields, added in messages:
        request = known.request(f"GET /a HTTP/1.1\r\n{fields}\r\n".encode())
        response = known.response(f"HTTP/1.1 200 OK\r\n{fields}\r\n".encode(), "GET")
        assert request.added == response.added == b""
        request.added = response.added = added
        sent = known.to_server(request, SENDER)
        assert sent == to_server(request, SENDER)
        assert sent.endswith(added + b"\r\n")
        body = response.body
        back = known.to_client(response, pseudonym="p", version=11, keep=True, body=body)
        assert back == to_client(response, pseudonym="p", version=11, keep=True, body=body)
        assert back.endswith(added + b"\r\n")
