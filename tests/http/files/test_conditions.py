"""Conditional requests, in the order of RFC 9110, 13.2.2."""

from __future__ import annotations

import pytest

from vcproxy.http.files.conditions import Validators, precondition, range_applies
from vcproxy.http.message.dates import http_date
from vcproxy.http.message.fields import Fields

STATE = Validators('"now"', 1_000_000)
BEFORE, SAME, LATER = http_date(999_999), http_date(1_000_000), http_date(1_000_001)


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({}, 200),
        ({"If-None-Match": '"now"'}, 304),
        ({"If-None-Match": 'W/"now"'}, 304),
        ({"If-None-Match": '"a", W/"b" , "now"'}, 304),
        ({"If-None-Match": "*"}, 304),
        ({"If-None-Match": '"other"'}, 200),
        ({"If-None-Match": "now"}, 200),
        ({"If-None-Match": '"other"', "If-Modified-Since": LATER}, 200),  # the tag counts
        ({"If-Modified-Since": BEFORE}, 200),
        ({"If-Modified-Since": SAME}, 304),
        ({"If-Modified-Since": LATER}, 304),
        ({"If-Modified-Since": "yesterday"}, 200),
        ({"If-Match": '"now"'}, 200),
        ({"If-Match": "*"}, 200),
        ({"If-Match": 'W/"now"'}, 412),  # strong comparison
        ({"If-Match": '"other"'}, 412),
        ({"If-Match": '"now"', "If-Unmodified-Since": BEFORE}, 200),  # the tag counts
        ({"If-Match": '"now"', "If-None-Match": '"now"'}, 304),
        ({"If-Unmodified-Since": BEFORE}, 412),
        ({"If-Unmodified-Since": SAME}, 200),
        ({"If-Unmodified-Since": "?"}, 200),
    ],
)
def test_preconditions(fields: dict[str, str], status: int) -> None:
    assert precondition(Fields.of(fields), STATE) == status


@pytest.mark.parametrize(
    ("condition", "applies"),
    [
        (None, True),
        ('"now"', True),
        ('W/"now"', False),
        ('"other"', False),
        (SAME, True),
        (LATER, False),
        (BEFORE, False),
        ("?", False),
    ],
)
def test_ranges_of_a_state(condition: str | None, applies: bool) -> None:
    fields = Fields.of({} if condition is None else {"If-Range": condition})
    assert range_applies(fields, STATE) is applies
