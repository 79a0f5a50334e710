"""Vary: names are added once."""

from __future__ import annotations

import pytest

from vcproxy.http.message.fields import Fields
from vcproxy.http.message.vary import vary_by


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, "Origin"),
        ("", "Origin"),
        ("Accept", "Accept, Origin"),
        ("accept , ORIGIN", "accept , ORIGIN"),
        ("*", "*"),
    ],
)
def test_a_name_is_added_once(before: str | None, after: str) -> None:
    fields = Fields.of({} if before is None else {"Vary": before})
    vary_by(fields, "Origin")
    assert fields.get("Vary") == after


def test_several_lines_become_one() -> None:
    fields = Fields.of([("Vary", "A"), ("Vary", "B")])
    vary_by(fields, "B", "C")
    assert fields.get_all("Vary") == ["A, B, C"]
