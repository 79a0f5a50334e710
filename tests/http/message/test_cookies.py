"""The cookies of a request: found by name, and removed."""

from __future__ import annotations

import pytest

from vcproxy.http.message.cookies import cookie, remove_cookie
from vcproxy.http.message.fields import Fields


def test_a_cookie_is_found_by_its_name() -> None:
    fields = Fields.of({"Cookie": "a=1; b=2=3;  c=;d; a=4"})
    assert cookie(fields, "a") == "1", "the first one"
    assert cookie(fields, "b") == "2=3"
    assert cookie(fields, "c") == ""
    assert cookie(fields, "d") is None
    assert cookie(fields, "A") is None, "names are case-sensitive"
    assert cookie(Fields(), "a") is None


def test_several_fields() -> None:
    fields = Fields.of([("Cookie", "a=1"), ("cookie", "b=2; a=3")])
    assert cookie(fields, "b") == "2"
    remove_cookie(fields, "a")
    assert fields.get_all("Cookie") == ["b=2"]


@pytest.mark.parametrize(
    ("sent", "rest"),
    [
        ("a=1", None),
        ("a=1; b=2", "b=2"),
        ("b=2; a=1", "b=2"),
        ("b=2; a=1; c=3; a=4", "b=2; c=3"),
        ("b=2", "b=2"),
    ],
)
def test_a_cookie_is_removed(sent: str, rest: str | None) -> None:
    fields = Fields.of({"Cookie": sent})
    remove_cookie(fields, "a")
    assert fields.get("Cookie") == rest
