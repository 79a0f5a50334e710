"""Keep-Alive, as servers write it."""

from __future__ import annotations

import pytest

from vcproxy.http.message.fields import Fields
from vcproxy.http.message.keep_alive import keep_alive_s


@pytest.mark.parametrize(
    ("data", "seconds"),
    [
        ("timeout=5, max=100", 5.0),
        ("timeout=5", 5.0),
        ("Timeout = 15", 15.0),
        ('max=9;timeout="20"', 20.0),
        ("max=100,timeout=2", 2.0),
        ("timeout=0", 0.0),
        ("5", None),
        ("max=100", None),
        ("timeout=", None),
        ("timeout=soon", None),
        ("timeout=-1", None),
        ("timeout=9999999999", None),
        ("notimeout=5", None),
        ("", None),
    ],
)
def test_values_of_keep_alive(data: str, seconds: float | None) -> None:
    assert keep_alive_s(Fields.of([("Keep-Alive", data)])) == seconds


def test_without_keep_alive() -> None:
    assert keep_alive_s(Fields.of([("X-Keep-Alive", "timeout=5")])) is None
