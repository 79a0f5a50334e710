"""AccessList: only destinations that match an entry are allowed."""

from __future__ import annotations

import pytest

from vcproxy.http.proxy.access_list import AccessEntry, AccessList


def allowed(allow: str, deny: str = "") -> AccessList:
    return AccessList(
        tuple(map(AccessEntry.parse, allow.split())), tuple(map(AccessEntry.parse, deny.split()))
    )


@pytest.mark.parametrize(
    ("allow", "host", "port", "permitted"),
    [
        ("www.example:443", "www.example", 443, True),
        ("WWW.example:443", "www.example.", 443, True),
        ("www.example:443", "www.example", 80, False),
        ("www.example:443", "example", 443, False),
        ("www.example:443", "evil.www.example", 443, False),
        ("*.example:*", "www.example", 1, True),
        ("*.example:*", "a.b.example", 1, True),
        ("*.example:*", "example", 1, False),
        ("*.example:*", "evilexample", 1, False),
        ("*:443", "www.example", 443, True),
        ("*:443", "10.0.0.1", 443, False),
        ("*:443", "::1", 443, False),
        ("10.0.0.0/8:80", "10.1.2.3", 80, True),
        ("10.0.0.0/8:80", "11.1.2.3", 80, False),
        ("10.0.0.0/8:80", "::ffff:10.1.2.3", 80, True),
        ("10.0.0.1:*", "10.0.0.1", 9, True),
        ("[2001:db8::]/32:443", "2001:db8::5", 443, True),
        ("[::1]:443", "::1", 443, True),
        ("0.0.0.0/0:*", "www.example", 80, False),
        ("0.0.0.0/0:*", "::1", 80, False),
        ("*:* 0.0.0.0/0:*", "", 80, False),
        ("*:*", "a" * 300, 80, False),
        ("*:*", "a b", 80, False),
        ("", "www.example", 443, False),
    ],
)
def test_allowed_destinations(allow: str, host: str, port: int, permitted: bool) -> None:
    assert allowed(allow).permits(host, port) is permitted


@pytest.mark.parametrize(
    "host", ["127.1", "2130706433", "0x7f.1", "0x7f000001", "0177.0.0.1", "1."]
)
def test_an_address_in_a_form_of_resolvers_is_no_name(host: str) -> None:
    assert not allowed("*:*").permits(host, 80)


@pytest.mark.parametrize("host", ["localhost", "x.localhost"])
def test_a_wildcard_does_not_include_localhost(host: str) -> None:
    assert not allowed("*:80").permits(host, 80)
    assert allowed("localhost:80 *.localhost:80").permits(host, 80)


def test_denied_destinations_are_not_allowed() -> None:
    some = allowed("*.example:443 10.0.0.0/8:*", "*.internal.example:* 10.0.0.1:22")
    assert some.permits("www.example", 443)
    assert not some.permits("db.internal.example", 443)
    assert some.permits("10.0.0.1", 23)
    assert not some.permits("10.0.0.1", 22)


@pytest.mark.parametrize(
    "text",
    ["a.example:443", "*.example:*", "*:1", "10.0.0.0/8:80", "[::1]:443", "[fd00::/8]:1"],
)
def test_an_entry_is_written_as_it_was_read(text: str) -> None:
    assert str(AccessEntry.parse(text)) == text


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("www.example", "has no port"),
        (":80", "has no port"),
        ("a:0", "the port must be 1 to 65535"),
        ("a:65536", "the port must be 1 to 65535"),
        ("a:http", "the port must be 1 to 65535"),
        ("a b:80", "write a name or a network"),
        ("*example:80", "write a name or a network"),
        ("127.1:80", "write a name or a network"),
        ("10.0.0.1/8:80", "has host bits set"),
    ],
)
def test_invalid_entries(text: str, data: str) -> None:
    with pytest.raises(ValueError, match=data):
        AccessEntry.parse(text)
