"""The encoder: what it writes is what the parser reads."""

from __future__ import annotations

import pytest
from hypothesis import given

from tests.proxy_protocol.headers import V4, V6, facts, field, headers, is_numeric, v2
from vcproxy.proxy_protocol.encoder import LOCAL, UNKNOWN, encode_header, encode_v1, encode_v2
from vcproxy.proxy_protocol.header import ProxyHeader
from vcproxy.proxy_protocol.parser import parse
from vcproxy.proxy_protocol.tlv import CRC32C, TlsFacts, Tlv, read_tls, write_tls


@given(headers(version=1))
def test_version_1_is_read_back(header: ProxyHeader) -> None:
    parsed = parse(encode_v1(header))
    assert parsed is not None
    assert parsed.header == header


@given(headers())
def test_version_2_is_read_back(header: ProxyHeader) -> None:
    parsed = parse(encode_v2(header))
    assert parsed is not None
    assert parsed.header == header
    assert is_numeric(parsed.header.source)


@given(headers())
def test_a_checksum_is_the_first_field(header: ProxyHeader) -> None:
    parsed = parse(encode_v2(header, checksum=True))
    assert parsed is not None
    first, *others = parsed.header.tlvs
    assert first.kind == CRC32C
    assert parsed.header._replace(tlvs=tuple(others)) == header


@given(facts)
def test_facts_on_tls_are_read_back(written: TlsFacts) -> None:
    assert read_tls(write_tls(written)) == written


def test_a_checksum_that_was_received_is_not_repeated() -> None:
    header = V4._replace(tlvs=(Tlv(CRC32C, b"\1\2\3\4"), Tlv(0xE0, b"x")))
    assert encode_v2(header) == encode_v2(V4._replace(tlvs=(Tlv(0xE0, b"x"),)))


def test_the_bytes_of_each_version() -> None:
    assert encode_v1(V4) == b"PROXY TCP4 203.0.113.7 192.0.2.1 40000 443\r\n"
    assert encode_v1(V6) == b"PROXY TCP6 2001:db8::7 2001:db8::1 40000 443\r\n"
    assert encode_v2(V4) == v2(0x21, 0x11, bytes.fromhex("cb007107 c0000201 9c40 01bb"))


def test_a_header_is_encoded_by_its_version() -> None:
    assert encode_header(V4) == encode_v2(V4)
    assert encode_header(V4._replace(version=1)) == encode_v1(V4)


def test_addresses_of_two_families_are_written_as_ipv6() -> None:
    mixed = V4._replace(destination="2001:db8::1")
    assert encode_v1(mixed) == b"PROXY TCP6 ::ffff:203.0.113.7 2001:db8::1 40000 443\r\n"
    parsed = parse(encode_v2(mixed))
    assert parsed is not None
    assert parsed.header.protocol == "tcp6"
    assert parsed.header.source in ("::ffff:203.0.113.7", "::ffff:cb00:7107")


@pytest.mark.parametrize("header", [ProxyHeader(2), ProxyHeader(2, True), V4._replace(local=True)])
def test_a_client_without_an_address_is_local_or_unknown(header: ProxyHeader) -> None:
    assert encode_v2(header) == LOCAL == v2(0x20, 0, b"")
    assert encode_v1(header) == UNKNOWN


def test_fields_without_an_address() -> None:
    header = ProxyHeader(2, tlvs=(Tlv(2, b"a"),))
    assert encode_v2(header) == v2(0x21, 0, field(2, b"a"))


def test_the_paths_of_unix_sockets() -> None:
    header = ProxyHeader(2, False, "unix", "", 0, "/run/app.sock", 0)
    parsed = parse(encode_v2(header))
    assert parsed is not None
    assert parsed.header == header
    assert encode_v1(header) == UNKNOWN
