"""Which coding a client is sent."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcproxy.http.message.accept_encoding import (
    IDENTITY,
    MOST,
    preferences,
    preferred_coding,
)

OFFERED = ("zstd", "br", "gzip")


@pytest.mark.parametrize(
    ("accept", "coding"),
    [
        ("gzip", "gzip"),
        ("GZip", "gzip"),
        ("x-gzip", "gzip"),
        ("gzip, deflate, br, zstd", "zstd"),  # Chromium and Firefox
        ("gzip, deflate", "gzip"),  # curl --compressed, Python's requests
        ("br;q=1.0, gzip;q=0.8, *;q=0.1", "br"),
        ("gzip;q=1, br;q=0.5", "gzip"),
        ("gzip ; q=0.5,\tbr;q=0.5", "br"),
        ("*", "zstd"),
        ("*;q=0.5, zstd;q=0", "br"),
        ("gzip;q=0, *", "zstd"),
        ("compress;q=0.5, gzip;q=1.0", "gzip"),  # RFC 9110, 12.5.3
        ("gzip;q=1.0, identity; q=0.5, *;q=0", "gzip"),  # likewise
        ("identity;q=1, gzip;q=0.5", IDENTITY),
        ("identity, gzip", "gzip"),
        ("identity;q=0", IDENTITY),  # nothing else is acceptable either
        ("identity", IDENTITY),
        ("gzip;q=0", IDENTITY),
        ("gzip;q=0.000", IDENTITY),
        ("*;q=0", IDENTITY),
        ("deflate", IDENTITY),
        ("", IDENTITY),
        (None, IDENTITY),
        ("gzip;q=0, gzip", IDENTITY),
        # malformed members count as not there
        ("gzip;q=2", IDENTITY),
        ("gzip;q=0.5555", IDENTITY),
        ("gzip;q=-1", IDENTITY),
        ("gzip;q=", IDENTITY),
        ("gzip;level=9", IDENTITY),
        ("gzip br", IDENTITY),
        ('"gzip"', IDENTITY),
        (";q=1, ,, gzip", "gzip"),
        ("gzip, br;q=nan", "gzip"),
    ],
)
def test_coding(accept: str | None, coding: str) -> None:
    assert preferred_coding(accept, OFFERED) == coding


def test_only_what_is_offered() -> None:
    assert preferred_coding("br, zstd, gzip;q=0.1", ("gzip",)) == "gzip"
    assert preferred_coding("br, zstd", ("gzip",)) == IDENTITY
    assert preferred_coding("gzip", ()) == IDENTITY


def test_a_long_list_is_read_in_part() -> None:
    assert preferred_coding(", ".join(["a"] * MOST) + ", gzip", OFFERED) == IDENTITY
    assert preferred_coding(", ".join(["a"] * (MOST - 1)) + ", gzip, b", OFFERED) == "gzip"


@given(st.text(st.sampled_from("gzip br*;q=01.5,identity\t\xff"), max_size=60))
def test_a_refused_coding_is_never_chosen(accept: str) -> None:
    quality = preferences(accept)
    coding = preferred_coding(accept, OFFERED)
    if coding != IDENTITY:
        assert quality.get(coding, quality.get("*", 0.0)) > 0
        assert all(
            quality.get(coding, quality.get("*", 0.0)) >= quality.get(each, 0.0)
            for each in (*OFFERED, IDENTITY)
        )
