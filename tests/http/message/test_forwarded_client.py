"""The client's address in the fields of a trusted proxy: the last one that is not trusted."""

from __future__ import annotations

from ipaddress import ip_network
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcproxy.http.message.fields import Fields
from vcproxy.http.message.forwarded_client import (
    IpAddress,
    Source,
    forwarded_client,
    forwarded_scheme,
)

TRUSTED = ip_network("10.0.0.0/8"), ip_network("fd00::/8")


def trusts(address: IpAddress) -> bool:
    return any(address in network for network in TRUSTED)


def client(value: str, source: Source = "x-forwarded-for") -> str | None:
    return forwarded_client(Fields.of({str(source): value.strip()}), source, trusts)


@pytest.mark.parametrize(
    ("value", "address"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("192.0.2.1, 10.0.0.1", "192.0.2.1"),
        ("1.1.1.1, 192.0.2.1,10.0.0.1 , 10.0.0.2", "192.0.2.1"),  # 1.1.1.1 may be invented
        ("10.0.0.1, 10.0.0.2", "10.0.0.1"),  # all are trusted: the first one
        ("192.0.2.1:4711", "192.0.2.1"),
        ("[2001:db8::1]:4711", "2001:db8::1"),
        ("2001:db8::1", "2001:db8::1"),
        ("2001:DB8:0::1, fd00::1", "2001:db8::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("192.0.2.1, ::ffff:10.0.0.1", "192.0.2.1"),
        ("192.0.2.1, unknown", None),
        ("192.0.2.1, unknown, 10.0.0.1", "10.0.0.1"),
        ("192.0.2.1,,", "192.0.2.1"),
        ("", None),
        (",", None),
        ("10.0.0.1, 999.1.1.1", None),
        ("fe80::1%eth0", None),
        ("<script>", None),
    ],
)
def test_x_forwarded_for(value: str, address: str | None) -> None:
    assert client(value) == address


@pytest.mark.parametrize(
    ("value", "address"),
    [
        ("for=192.0.2.1", "192.0.2.1"),
        ('For="[2001:db8::1]:4711";proto=http', "2001:db8::1"),
        ("proto=http; by=10.0.0.9;for=192.0.2.1 , for=10.0.0.1", "192.0.2.1"),
        ('for=1.1.1.1, for="192.0.2.1:80";host="a,b;for=9.9.9.9", for=10.0.0.1', "192.0.2.1"),
        (r'for=192.0.2.1;host="a\",for=9.9.9.9"', "192.0.2.1"),
        ("for=_hidden", None),
        ("for=unknown, for=10.0.0.1", "10.0.0.1"),
        ("proto=http", None),
        ("for=192.0.2.1, proto=http", None),
        ("", None),
        ('for="192.0.2.1', "192.0.2.1"),
        ('for="x, for=192.0.2.1', "192.0.2.1"),
    ],
)
def test_forwarded(value: str, address: str | None) -> None:
    assert client(value, "forwarded") == address


def test_several_lines_are_one_list() -> None:
    fields = Fields.of([("X-Forwarded-For", "192.0.2.1"), ("x-forwarded-for", "10.0.0.1")])
    assert forwarded_client(fields, "x-forwarded-for", trusts) == "192.0.2.1"


def test_the_connection_only() -> None:
    fields = Fields.of({"X-Forwarded-For": "192.0.2.1"})
    assert forwarded_client(fields, "connection", trusts) is None


ADDRESSES = st.one_of(
    st.ip_addresses(v=4).map(str), st.ip_addresses(v=6).map(str), st.just("10.1.2.3")
)


@given(st.text('0123456789abcdef:.,[] "=;\\for', max_size=60), ADDRESSES)
def test_nothing_that_a_client_sends_changes_what_a_proxy_appends(sent: str, own: str) -> None:
    plain = client(own)
    assert plain is not None
    if plain != "10.1.2.3":
        assert client(f"{sent}, {own}") == plain


@pytest.mark.parametrize("piece", ["10.0.0.1,", ",", '"', "for=", 'for="', "\\", " ", "a;"])
@pytest.mark.parametrize("source", ["x-forwarded-for", "forwarded"])
def test_no_value_takes_long(piece: str, source: Source) -> None:
    value = (piece * (16_384 // len(piece))).strip()
    began = process_time()
    client(value, source)
    assert process_time() - began < 0.5


@pytest.mark.parametrize(
    ("name", "value", "source", "scheme"),
    [
        ("X-Forwarded-Proto", "HTTPS", "x-forwarded-for", "https"),
        ("X-Forwarded-Proto", "https, http", "x-forwarded-for", "http"),
        ("X-Forwarded-Proto", "https", "forwarded", ""),
        ("X-Forwarded-Proto", "https", "connection", ""),
        ("Forwarded", 'for=1.2.3.4;proto="https"', "forwarded", "https"),
        ("Forwarded", "proto=https, for=1.2.3.4", "forwarded", ""),
        ("Forwarded", "proto=http, Proto=https;for=1.2.3.4", "forwarded", "https"),
        ("Forwarded", "proto=https", "x-forwarded-for", ""),
    ],
)
def test_the_scheme(name: str, value: str, source: Source, scheme: str) -> None:
    assert forwarded_scheme(Fields.of({name: value}), source) == scheme
