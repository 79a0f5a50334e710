"""ClientHelloReader: the names in a ClientHello, wherever it is cut; what is refused, and why."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.protocols.client_hellos import (
    GREASE,
    extension,
    hello_of,
    message,
    protocols,
    records,
    server_names,
    sized,
)
from vcproxy.protocols.tls_client_hello import (
    ALPN_LIMIT,
    DECODE_ERROR,
    ILLEGAL_PARAMETER,
    LIMIT,
    PROTOCOL_VERSION,
    RECORD_OVERFLOW,
    UNEXPECTED_MESSAGE,
    UNRECOGNIZED_NAME,
    ClientHello,
    ClientHelloReader,
    InvalidClientHello,
    NotTls,
    alert,
    read_whole,
)

NAME = server_names(b"a.example")

KEY_SHARE = extension(
    51, sized(b"\x11\xec" + sized(bytes(1216), 2) + b"\0\x1d" + sized(bytes(32), 2), 2)
)
"""X25519MLKEM768 and X25519, as browsers send them."""

ECH = extension(0xFE0D, b"\0\0\x01\0\x01\x07" + sized(bytes(32), 2) + sized(bytes(400), 2))
"""An encrypted inner message (RFC 9849, 5)."""


def read(data: bytes) -> ClientHello | None:
    return ClientHelloReader().feed(data)


def refusal(data: bytes) -> tuple[str, int | None]:
    """Return why a client is refused, and the number of the alert."""
    with pytest.raises((NotTls, InvalidClientHello)) as caught:
        read(data)
    refused = caught.value
    return str(refused), refused.alert if isinstance(refused, InvalidClientHello) else None


def whole_or_error(data: bytes) -> object:
    """Return what comes of bytes that are read as a whole; None: a reader must be asked."""
    try:
        return read_whole(data)
    except InvalidClientHello as refused:
        return type(refused), str(refused)


def result(data: bytes, cuts: list[int]) -> object:
    """Return what comes of bytes in pieces: a hello, the class and text of an error, or None."""
    if not cuts and (whole := whole_or_error(data)) is not None:
        return whole
    reader = ClientHelloReader()
    places = sorted({0, *(cut for cut in cuts if cut < len(data)), len(data)})
    for begin, end in pairwise(places):
        try:
            found = reader.feed(data[begin:end])
        except (NotTls, InvalidClientHello) as refused:
            return type(refused), str(refused)
        if found is not None:
            return found
        assert reader.held <= LIMIT
    return None


# -- what is read --------------------------------------------------------------------------------


@pytest.mark.parametrize("longest", ["1.3", "1.2"])
def test_a_real_client_is_read(longest: str) -> None:
    found = read(hello_of("a.example", ["h2", "http/1.1"], longest=longest))
    assert found == ClientHello("a.example", ("h2", "http/1.1"))


def test_a_real_client_may_send_neither_name_nor_protocol() -> None:
    assert read(hello_of(None)) == ClientHello(None, ())


def test_a_message_without_extensions_has_no_names() -> None:
    assert read(records(message(), version=b"\x03\0")) == ClientHello()


def test_names_are_as_the_client_has_sent_them() -> None:
    for name in ("A.Example", "a.example.", "localhost", "xn--bcher-kva.example", "bücher.example"):
        assert read(records(message(server_names(name.encode())))) == ClientHello(name)


def test_unknown_extensions_are_skipped() -> None:
    around = [
        extension(GREASE, b""),
        KEY_SHARE,
        ECH,
        NAME,
        protocols(b"h2"),
        extension(0xFAFA, b"\0"),
    ]
    assert read(records(message(*around))) == ClientHello("a.example", ("h2",))


def test_names_of_another_type_are_skipped() -> None:
    other = extension(0, sized(b"\x07" + sized(b"?", 2) + b"\0" + sized(b"a.example", 2), 2))
    assert read(records(message(other))) == ClientHello("a.example")


def test_a_protocol_that_is_not_printable_is_escaped() -> None:
    found = read(records(message(protocols(b"\n\x8a", b"h2"))))
    assert found == ClientHello(None, ("\\n\\x8a", "h2"))


def test_what_follows_the_message_is_not_read() -> None:
    early_data = records(message(NAME)) + b"\x17\x03\x03\0\x05hello"
    assert read(early_data) == ClientHello("a.example")


@pytest.mark.parametrize("sizes", [[1] * 700, [4], [1, 2, 3], [300, 1000]], ids=str)
def test_it_may_be_in_any_number_of_records(sizes: list[int]) -> None:
    whole = records(message(KEY_SHARE, NAME, protocols(b"h2")), sizes)
    assert read(whole) == ClientHello("a.example", ("h2",))


def test_it_may_come_cut_at_every_byte() -> None:
    whole = records(message(KEY_SHARE, NAME, protocols(b"h2")), [5, 1, 700])
    for cut in range(1, len(whole)):
        reader = ClientHelloReader()
        assert reader.feed(whole[:cut]) is None, cut
        assert reader.feed(whole[cut:]) == ClientHello("a.example", ("h2",)), cut
    assert result(whole, list(range(len(whole)))) == ClientHello("a.example", ("h2",))


def test_the_largest_one_is_read() -> None:
    padding = LIMIT - 5 * 4 - len(message(NAME)) - 4
    whole = records(message(NAME, extension(21, bytes(padding))))
    assert len(whole) == LIMIT
    assert read(whole) == ClientHello("a.example")
    assert result(whole, list(range(0, LIMIT, 7))) == ClientHello("a.example")


# -- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data", [b"GET / HTTP/1.1\r\n", b"SSH-2.0-x\r\n", b"\0", b"\x16\x01", b"\x80\x05\x02"]
)
def test_what_is_not_tls_is_told_apart_at_the_first_bytes(data: bytes) -> None:
    assert refusal(data) == ("", None)


@pytest.mark.parametrize("version", [b"\0\x02", b"\x03\x01"])
def test_the_form_of_ssl_2_is_refused(version: bytes) -> None:
    hello = b"\x80\x2e\x01" + version + bytes(43)
    assert refusal(hello) == ("it has the form of SSL 2.0", PROTOCOL_VERSION)
    assert result(hello, list(range(48))) == (InvalidClientHello, "it has the form of SSL 2.0")


def test_two_server_names_are_refused() -> None:
    two = server_names(b"a.example", b"b.example")
    assert refusal(records(message(two))) == ("it has two server names", ILLEGAL_PARAMETER)
    twice = message(NAME, server_names(b"b.example"))
    assert refusal(records(twice)) == ("it has two lists of server names", ILLEGAL_PARAMETER)
    protocols_twice = message(protocols(b"h2"), protocols(b"http/1.1"))
    assert refusal(records(protocols_twice)) == ("it has two lists of protocols", ILLEGAL_PARAMETER)


@pytest.mark.parametrize(
    "name", [b"", b"a" * 256, b"a\0.example", b"a b", b"a\n", b"\xff", "a\u2028".encode()]
)
def test_what_cannot_be_a_name_is_refused(name: bytes) -> None:
    data = records(message(server_names(name)))
    assert refusal(data) == ("its server name is not a name", UNRECOGNIZED_NAME)


def test_a_long_list_of_protocols_is_refused() -> None:
    """Escaped, it would be held for as long as the connection: 30,000 protocols had 150 KB."""
    longest = message(NAME, protocols(*[b"\1"] * (ALPN_LIMIT // 2 - 1)))
    found = read(records(longest))
    assert found is not None
    assert len(found.alpn) == ALPN_LIMIT // 2 - 1
    longer = records(message(NAME, protocols(*[b"\1"] * (ALPN_LIMIT // 2))))
    assert refusal(longer) == (
        f"its list of protocols is longer than {ALPN_LIMIT} bytes",
        DECODE_ERROR,
    )


def test_more_than_64_kib_are_refused_at_the_length() -> None:
    begin = records(b"\x01" + (LIMIT + 1).to_bytes(3, "big") + bytes(100))[:9]
    assert refusal(begin) == (f"it is longer than {LIMIT} bytes", RECORD_OVERFLOW)


def test_records_of_one_byte_count_too() -> None:
    long = message(extension(21, bytes(12_000)), NAME)
    whole = records(long, [1] * len(long))
    assert len(whole) > LIMIT
    assert refusal(whole) == (f"it is longer than {LIMIT} bytes", RECORD_OVERFLOW)
    assert result(whole, list(range(0, len(whole), 500))) == result(whole, [])


def test_records_that_are_none_are_refused() -> None:
    begin = records(message(NAME), [20])[:25]
    assert refusal(begin + b"\x15\x03\x01\0\x02\x01\0") == (
        "a record of type 21 comes before its end",
        UNEXPECTED_MESSAGE,
    )
    assert refusal(begin + b"\x16\x03\x01\0\0") == ("a record has 0 bytes", RECORD_OVERFLOW)
    assert refusal(b"\x16\x03\x01\x40\x01") == ("a record has 16385 bytes", RECORD_OVERFLOW)
    assert refusal(b"\x16\x03\x01\0\x04\x02") == (
        "the handshake begins with a message of type 2",
        UNEXPECTED_MESSAGE,
    )


WRONG_LENGTHS = [
    sized(message(NAME)[4:][:40], 3),
    sized(message(NAME)[4:] + b"\0", 3),
    sized(message(NAME + b"\0\x15\0\x09")[4:], 3),
    sized(message(extension(0, b"\0\x0d\0\0\x09a.example"))[4:], 3),
    sized(message(extension(0, sized(b"\0\0\x0aa.example", 2)))[4:], 3),
    sized(message(extension(0, b"\0\0"))[4:], 3),
    sized(message(extension(0, b""))[4:], 3),
    sized(message(extension(16, sized(b"\x03h2", 2)))[4:], 3),
    sized(message(extension(16, sized(b"\0\x02h2", 2)))[4:], 3),
    sized(message(extension(16, b"\0\0"))[4:], 3),
    sized(message(extension(16, b"\0\x09\x02h2"))[4:], 3),
    sized(b"", 3),
    sized(bytes(34), 3),
]  # fmt: skip


@pytest.mark.parametrize("body", WRONG_LENGTHS, ids=range(len(WRONG_LENGTHS)))
def test_lengths_that_do_not_fit_are_refused(body: bytes) -> None:
    _, number = refusal(records(b"\x01" + body))
    assert number == DECODE_ERROR


# -- properties ----------------------------------------------------------------------------------

labels = st.from_regex(r"[a-zA-Z0-9]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)
names = st.lists(labels, min_size=1, max_size=4).map(".".join)
others = st.lists(
    st.builds(
        extension, st.sampled_from([GREASE, 10, 11, 13, 43, 51, 0xFE0D]), st.binary(max_size=90)
    ),
    max_size=4,
)
cuts = st.lists(st.integers(0, 2000), max_size=8)


@given(
    st.none() | names,
    st.lists(st.sampled_from([b"h2", b"http/1.1", b"x"]), max_size=3),
    others,
    cuts,
    st.lists(st.integers(1, 400), max_size=6),
)
def test_the_names_are_found_whatever_is_around_and_wherever_it_is_cut(
    name: str | None, alpn: list[bytes], around: list[bytes], cut: list[int], sizes: list[int]
) -> None:
    parts = list(around)
    if name is not None:
        parts.insert(len(parts) // 2, server_names(name.encode()))
    if alpn:
        parts.append(protocols(*alpn))
    whole = records(message(*parts), sizes)
    assert result(whole, cut) == ClientHello(name, tuple(each.decode() for each in alpn))


@given(st.integers(0, 600), st.integers(0, 255), cuts)
def test_one_wrong_byte_has_the_same_result_wherever_it_is_cut(
    at: int, byte: int, cut: list[int]
) -> None:
    whole = bytearray(records(message(NAME, ECH, protocols(b"h2", b"http/1.1")), [50, 3]))
    whole[at % len(whole)] = byte
    assert result(bytes(whole), cut) == result(bytes(whole), [])
    one = bytearray(records(message(NAME, ECH, protocols(b"h2", b"http/1.1"))))
    one[at % len(one)] = byte
    assert result(bytes(one), [7, *cut]) == result(bytes(one), [])


@given(st.binary(max_size=300), cuts)
def test_any_bytes_have_the_same_result_wherever_they_are_cut(data: bytes, cut: list[int]) -> None:
    for whole in (data, b"\x16\x03\x01\0\xff\x01" + data, records(b"\x01" + sized(data, 3))):
        assert result(whole, cut) == result(whole, [])


def test_an_alert_is_a_record() -> None:
    assert alert(UNRECOGNIZED_NAME) == bytes.fromhex("15 0303 0002 02 70")
