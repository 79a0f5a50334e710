"""Dates in the format of HTTP, and their cache of one second."""

from __future__ import annotations

from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcproxy.http.message.dates import Dates, http_date, read_http_date
from vcproxy.http.message.head_cache import HeadCache
from vcproxy.http.message.limits import MessageLimits
from vcproxy.http.message.messages import Response


class Clock:
    wall = 0


def test_the_example_of_the_rfc() -> None:
    assert http_date(784_111_777) == "Sun, 06 Nov 1994 08:49:37 GMT"


@given(st.integers(1, 253_402_300_799))
def test_any_second_until_the_year_9999(seconds: int) -> None:
    assert http_date(seconds) == formatdate(seconds, usegmt=True)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_777),
        ("Sunday, 06-Nov-94 08:49:37 GMT", 784_111_777),
        ("Sun Nov  6 08:49:37 1994", 784_111_777),
        ("Saturday, 01-Jan-00 00:00:00 GMT", 946_684_800),
        ("Sun, 31 Dec 1995 23:59:60 GMT", 820_454_399),  # a leap second
        ("Sun, 06 Nov 1994 08:49:37 CET", None),
        ("Sun, 31 Feb 1994 08:49:37 GMT", None),
        ("Sun, 06 Nov 1994 24:49:37 GMT", None),
        ("Sun, 06 Now 1994 08:49:37 GMT", None),
        ("06 Nov 1994 08:49:37 GMT", None),
        ("784111777", None),
        ("", None),
    ],
)
def test_dates_are_read(text: str, seconds: int | None) -> None:
    assert read_http_date(text) == seconds


@given(st.integers(1, 253_402_300_799))
def test_what_is_written_is_read(seconds: int) -> None:
    assert read_http_date(http_date(seconds)) == seconds


def test_the_line_follows_the_clock() -> None:
    clock = Clock()
    dates = Dates(clock)
    assert dates.line() == b""
    clock.wall = 784_111_777
    line = dates.line()
    assert line == b"Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
    assert dates.line() is line
    clock.wall += 1
    assert dates.line() == b"Date: Sun, 06 Nov 1994 08:49:38 GMT\r\n"


@pytest.mark.parametrize(
    ("status", "own", "dated"),
    [(200, "", True), (200, "date", False), (304, "", True), (103, "", False), (101, "", False)],
)
def test_an_answer_gets_the_date_that_it_lacks(status: int, own: str, dated: bool) -> None:
    clock = Clock()
    heads = HeadCache(MessageLimits(), clock)
    for clock.wall in (1, 2, 3, 4):
        response = Response(status, {own: "then"} if own else {})
        response.bodiless = True
        head = heads.to_client(response, pseudonym="p", version=11, keep=True, body=0)
        assert head.endswith(b"\r\n\r\n")
        assert head.count(b"\r\n\r\n") == 1
        assert (f"Date: {http_date(clock.wall)}\r\n".encode() in head) is dated
        assert head.lower().count(b"\r\ndate: ") == (dated or bool(own))
