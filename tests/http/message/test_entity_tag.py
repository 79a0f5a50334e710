"""Entity tags and their weak form."""

from __future__ import annotations

import pytest

from vcproxy.http.message.entity_tag import tags, weak_tag


@pytest.mark.parametrize(
    ("tag", "weak"),
    [
        ('"a"', 'W/"a"'),
        ('""', 'W/""'),
        ('"a,b"', 'W/"a,b"'),
        ('W/"a"', 'W/"a"'),
        ("a", ""),
        ('w/"a"', ""),  # W is case-sensitive
        ('"a" "b"', ""),
        ('"a', ""),
        ("", ""),
    ],
)
def test_weak(tag: str, weak: str) -> None:
    assert weak_tag(tag) == weak


def test_list() -> None:
    assert tags('"a", W/"b","c,d"') == ['"a"', 'W/"b"', '"c,d"']
    assert tags("*") == []
    assert tags("") == []
