"""The key of `balance = "hash"`: a field or a cookie of the request."""

from __future__ import annotations

import pytest

from vcproxy.http.message.fields import Fields
from vcproxy.http.proxy.balance_key import balance_key

FIELDS = Fields(b"X-User: ann\r\nCookie: theme=dark; id = 7;empty=; flag; id=8\r\n")


@pytest.mark.parametrize(
    ("hash_by", "key"),
    [
        ("header:X-User", "ann"),
        ("header:x-user", "ann"),
        ("header:X-Other", None),
        ("cookie:theme", "dark"),
        ("cookie:id", "7"),
        ("cookie:ID", None),  # names of cookies are case-sensitive (RFC 6265, 5.3)
        ("cookie:empty", ""),
        ("cookie:flag", None),
        ("client", None),
    ],
)
def test_the_key_of_a_request(hash_by: str, key: str | None) -> None:
    assert balance_key(FIELDS, hash_by) == key


def test_a_request_without_cookies_has_no_key() -> None:
    assert balance_key(Fields(b""), "cookie:id") is None
