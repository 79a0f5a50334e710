"""The parser, and the values that it returns."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.proxy_protocol.headers import V4, V6, field, headers, v2
from vcproxy.proxy_protocol.encoder import encode_v1, encode_v2
from vcproxy.proxy_protocol.header import ProxyHeader
from vcproxy.proxy_protocol.parser import (
    SIGNATURE,
    V2_MOST,
    InvalidHeader,
    Parsed,
    header_size,
    parse,
)
from vcproxy.proxy_protocol.tlv import TlsFacts, Tlv

A4 = bytes((203, 0, 113, 7, 192, 0, 2, 1)) + (40_000).to_bytes(2, "big") + (443).to_bytes(2, "big")
LINE = b"PROXY TCP4 203.0.113.7 192.0.2.1 40000 443\r\n"


def refusal(data: bytes) -> tuple[str, int]:
    with pytest.raises(InvalidHeader) as caught:
        parse(data)
    return str(caught.value), caught.value.position


# -- what is valid ---------------------------------------------------------------------------


def test_a_line_of_version_1() -> None:
    assert parse(LINE + b"GET /") == Parsed(V4._replace(version=1), len(LINE))


def test_a_line_of_version_1_with_ipv6() -> None:
    line = b"PROXY TCP6 2001:DB8:0:0::7 2001:db8::1 40000 443\r\n"
    assert parse(line) == Parsed(V6._replace(version=1), len(line))


def test_an_unknown_client_of_version_1_whatever_follows() -> None:
    for line in (b"PROXY UNKNOWN\r\n", b"PROXY UNKNOWN ffff::1 x \x00 99999 no port\r\n"):
        assert parse(line) == Parsed(ProxyHeader(1), len(line))


def test_the_longest_line_has_107_bytes() -> None:
    host = ":".join(["ffff"] * 8)
    line = f"PROXY UNKNOWN {host} {host} 65535 65535\r\n".encode()
    assert len(line) == 107
    assert parse(line) == Parsed(ProxyHeader(1), 107)
    longer = line[:-2] + b"5\r\n"
    assert refusal(longer) == ("its line is longer than 107 bytes", 107)


def test_addresses_of_version_2() -> None:
    data = v2(0x21, 0x11, A4)
    assert parse(data + b"more") == Parsed(V4, 28)
    six = bytes.fromhex("20010db8" + "0" * 22 + "07" + "20010db8" + "0" * 22 + "01")
    assert parse(v2(0x21, 0x21, six + A4[8:])) == Parsed(V6, 52)
    assert parse(v2(0x21, 0x12, A4)) == Parsed(V4._replace(protocol="udp4"), 28)


def test_the_paths_of_unix_sockets() -> None:
    body = b"/run/client".ljust(108, b"\0") + b"\0abstract".ljust(108, b"\0")
    header = ProxyHeader(2, False, "unix", "/run/client", 0, "\0abstract", 0)
    assert parse(v2(0x21, 0x31, body)) == Parsed(header, 232)
    assert not header.has_addresses
    unnamed = parse(v2(0x21, 0x32, bytes(216)))
    assert unnamed is not None
    assert unnamed.header == ProxyHeader(2, False, "unixgram")


def test_of_a_local_header_everything_else_is_discarded() -> None:
    for family, body in ((0, b""), (0x11, A4), (0x99, b"\1\xff\xff rubbish")):
        data = v2(0x20, family, body)
        assert parse(data) == Parsed(ProxyHeader(2, True), len(data))


def test_a_proxied_connection_without_addresses() -> None:
    assert parse(v2(0x21, 0, b"")) == Parsed(ProxyHeader(2), 16)
    data = v2(0x21, 0, field(2, b"example.org"))
    assert parse(data) == Parsed(ProxyHeader(2, tlvs=(Tlv(2, b"example.org"),)), len(data))


def test_the_fields() -> None:
    tls = b"\5" + bytes(4) + field(0x21, b"TLSv1.3") + field(0x22, b"Anna") + field(0x23, b"AES")
    body = A4 + field(1, b"h2") + field(2, "bücher.example".encode()) + field(5, b"\1\2")
    parsed = parse(v2(0x21, 0x11, body + field(0x20, tls) + field(0x30, b"blue") + field(4, b"")))
    assert parsed is not None
    header = parsed.header
    assert (header.alpn, header.authority, header.unique_id) == ("h2", "bücher.example", b"\1\2")
    assert header.namespace == "blue"
    assert header.tls == TlsFacts(True, True, True, "TLSv1.3", "AES", "Anna")
    assert (header.peer, header.target) == ("203.0.113.7:40000", "192.0.2.1:443")
    assert V6.peer == "[2001:db8::7]:40000"
    absent: list[object] = [V4.alpn, V4.authority, V4.unique_id, V4.namespace, V4.tls]
    assert absent == [None] * 5


@pytest.mark.parametrize(
    ("value", "facts"),
    [
        (b"\1\0\0\0\0", TlsFacts(True, False, False)),  # HAProxy of a client without certificate
        (b"\1\0\0\0\1", TlsFacts(True, False, False)),
        (b"\3\0\0\0\0", TlsFacts(True, True, True)),
        (b"\5\0\0\0\0", TlsFacts(True, True, True)),  # in this session, on an earlier connection
        (b"\3\1\0\0\0", TlsFacts(True, True, False)),
        (b"\0\0\0\0\0", TlsFacts(False, False, False)),
    ],
)
def test_verify_means_nothing_without_a_certificate(value: bytes, facts: TlsFacts) -> None:
    assert V4._replace(tlvs=(Tlv(0x20, value),)).tls == facts


# -- pieces ----------------------------------------------------------------------------------


@given(st.one_of(headers().map(encode_v2), headers(version=1).map(encode_v1)))
def test_a_header_cut_anywhere_needs_more(data: bytes) -> None:
    for end in range(len(data)):
        assert parse(data[:end]) is None, end
        assert header_size(data[:end]) in (0, len(data))
    parsed = parse(data + b"\r\n")
    assert parsed is not None
    assert parsed.size == header_size(data) == len(data)


@given(
    st.binary(max_size=300), st.sampled_from([b"", b"PROXY ", SIGNATURE, SIGNATURE + b"\x21\x11"])
)
def test_no_bytes_do_anything_else_than_parse_wait_or_be_refused(rest: bytes, start: bytes) -> None:
    whole = start + rest
    position = size = 0
    try:
        parsed = parse(whole)
        size = 0 if parsed is None else parsed.size
    except InvalidHeader as error:
        position = error.position
    assert 0 <= position <= len(whole)
    assert size == 0 or 15 <= size <= len(whole)


# -- what is not valid -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "reason", "position"),
    [
        (b"G", "it does not begin as one", 0),
        (b"PROXYX", "it does not begin as one", 5),
        (b"proxy ", "it does not begin as one", 0),
        (b"\r\n\r\n\0\r\nQUIX", "it does not begin as one", 10),
        (b"\x16\3\1\2\0\1", "it does not begin as one", 0),
        (b"PROXY " + b"x" * 101, "its line is longer than 107 bytes", 107),
        (b"PROXY TCP4 1.2.3.4\n", "its line ends with LF alone: CRLF is needed", 18),
        (b"PROXY TCP5 a b 1 2\r\n", "its protocol is not TCP4, TCP6 or UNKNOWN", 6),
        (b"PROXY  TCP4 \r\n", "its protocol is not TCP4, TCP6 or UNKNOWN", 6),
        (
            b"PROXY TCP4 1.2.3.4  5.6.7.8 1 2\r\n",
            "it has 7 words instead of 6, one space between them",
            31,
        ),
        (b"PROXY TCP4 1.2.3.04 5.6.7.8 1 2\r\n", '"1.2.3.04" is not an IPv4 address', 11),
        (b"PROXY TCP4 1.2.3.4 ::1 1 2\r\n", '"::1" is not an IPv4 address', 19),
        (b"PROXY TCP6 1.2.3.4 ::1 1 2\r\n", '"1.2.3.4" is not an IPv6 address', 11),
        (b"PROXY TCP6 fe80::1%1 ::1 1 2\r\n", '"fe80::1%1" is not an IPv6 address', 11),
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 65536 2\r\n", '"65536" is not a port, 0 to 65535', 27),
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 1 02\r\n", '"02" is not a port, 0 to 65535', 29),
        (b'PROXY TCP4 1.2.3.4 5.6.7.8 1 +"\r\n', '"+\\"" is not a port, 0 to 65535', 29),
        (b"PROXY TCP4 1.2.3.\xff 5.6.7.8 1 2\r\n", '"1.2.3.\\xff" is not an IPv4 address', 11),
        (v2(0x11, 0x11, A4), "its version 1 is not known", 12),
        (v2(0x22, 0x11, A4), "its command 2 is not known", 12),
        (v2(0x21, 0x41, A4), "its family and transport, 0x41, are not known", 13),
        (v2(0x21, 0x01, A4), "its family and transport, 0x01, are not known", 13),
        (v2(0x21, 0x10, A4), "its family and transport, 0x10, are not known", 13),
        (v2(0x21, 0x21, A4), "it has 12 bytes of addresses: 36 are needed", 14),
        (v2(0x21, 0x11, b"", 65535), "it has 65551 bytes: 4096 are allowed", 14),
        (v2(0x21, 0x11, A4 + b"\1"), "1 bytes are left over after its fields", 28),
        (
            v2(0x21, 0x11, A4 + field(2, b"a") + field(1, b"h2", 3)),
            "a field of type 0x01 claims 3 bytes and has 2",
            33,
        ),
        (
            v2(0x21, 0x11, A4 + field(5, bytes(129))),
            "its unique id has 129 bytes: 128 are allowed",
            31,
        ),
        (v2(0x21, 0x11, A4 + field(2, b"a\xff")), "its host name is not UTF-8", 32),
        (v2(0x21, 0x11, A4 + field(3, b"abc")), "its checksum has 3 bytes instead of 4", 31),
        (v2(0x21, 0x11, A4 + field(0x20, b"\1")), "its field on TLS has 1 bytes: 5 are needed", 31),
        (
            v2(0x21, 0x11, A4 + field(0x20, b"\1\0\0\0\0" + field(0x21, b"x", 9))),
            "in its field on TLS, a field of type 0x21 claims 9 bytes and has 1",
            37,
        ),
        (
            v2(0x21, 0x11, A4 + field(3, b"\1\2\3\4")),
            "its checksum is wrong: it was damaged on the way",
            31,
        ),
    ],
)  # fmt: skip
def test_what_is_refused(data: bytes, reason: str, position: int) -> None:
    assert refusal(data) == (reason, position)


def test_a_header_of_4096_bytes_is_the_longest() -> None:
    filler = field(0xE0, bytes(V2_MOST - 16 - len(A4) - 3))
    parsed = parse(v2(0x21, 0x11, A4 + filler))
    assert parsed is not None
    assert parsed.size == V2_MOST
    assert refusal(v2(0x21, 0x11, A4 + filler + b"\0"))[0] == "it has 4097 bytes: 4096 are allowed"


@given(headers(), st.data())
def test_a_checksum_finds_each_changed_byte(header: ProxyHeader, data: st.DataObject) -> None:
    written = bytearray(encode_v2(header, checksum=True))
    assert parse(bytes(written)) is not None
    at = data.draw(st.integers(16, len(written) - 1))
    written[at] ^= data.draw(st.integers(1, 255))
    try:
        parsed = parse(bytes(written))
    except InvalidHeader:
        return
    assert parsed is not None
    # its own type was changed, or the length of the field before it
    assert parsed.header.tlv(3) is None
