"""DatagramDecoder: messages in datagrams; what a datagram leaves open is not continued."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcproxy.framing.datagrams import DatagramDecoder
from vcproxy.framing.decoding import Damaged
from vcproxy.framing.framing import (
    Framing,
    delimiter,
    fixed,
    json_lines,
    length_prefix,
    lines,
    netstring,
)

CUT = "the datagram ends inside a message"


@pytest.mark.parametrize(
    ("framing", "datagram", "messages"),
    [
        (lines(), b"one\ntwo\n", [b"one", b"two"]),
        (lines(), b"one\ntwo", [b"one", b"two"]),
        (lines(), b"", []),
        (lines(), b"\n", [b""]),
        (json_lines(), b" \n{}", [b"{}"]),
        (delimiter(b"\r\n"), b"one\r\ntwo", [b"one", b"two"]),
        (netstring(), b"3:one,3:two,", [b"one", b"two"]),
        (netstring(), b"3:one,3:tw", [Damaged(b"3:one,3:tw", CUT)]),
        (length_prefix(1), b"\x01a\x02b", [Damaged(b"\x01a\x02b", CUT)]),
        (fixed(2), b"aabbc", [Damaged(b"aabbc", CUT)]),
        (lines(3), b"one\nlong\n", [Damaged(b"one\nlong\n", "message over the size limit")]),
        (lines(3), b"long", [Damaged(b"long", "message over the size limit")]),
        (
            netstring(),
            b"3:one,x",
            [Damaged(b"3:one,x", "invalid framing: no message can begin with these bytes")],
        ),
    ],
)
def test_a_datagram_has_whole_messages(
    framing: Framing, datagram: bytes, messages: list[bytes | Damaged]
) -> None:
    decoder = DatagramDecoder(framing)
    assert decoder.feed(datagram) == messages
    assert decoder.fault is None
    assert decoder.feed(framing.encode(b"ok")) == [b"ok"], "the next datagram is independent"
    decoder.finish()
    assert decoder.fault is None


@given(st.lists(st.lists(st.binary(max_size=20), max_size=5), max_size=5))
def test_messages_of_datagrams_are_those_that_were_encoded(datagrams: list[list[bytes]]) -> None:
    framing = netstring()
    decoder = DatagramDecoder(framing)
    for messages in datagrams:
        assert decoder.feed(b"".join(map(framing.encode, messages))) == messages
