"""The codecs: datagrams of the original, byte for byte (wink.md 2), and malformed ones."""

from __future__ import annotations

import pytest

from vcproxy.bus.mailbox.codec import ACK, LEGACY, NUMBERED, Codec, Malformed


@pytest.mark.parametrize(
    ("number", "message", "datagram"),
    [
        (0, b"start echo/Echo :0", "0000000000000000 7374617274206563686f2f4563686f203a30"),
        (1, b"list", "0100000000000000 6c697374"),
        (10, b"", "0a00000000000000"),
        (2**64 - 1, b"x", "ffffffffffffffff 78"),
    ],
)
def test_number_and_text(number: int, message: bytes, datagram: str) -> None:
    assert NUMBERED.encode(number, message) == bytes.fromhex(datagram)
    assert NUMBERED.decode(bytes.fromhex(datagram)) == (number, message)


def test_an_acknowledgement() -> None:
    assert NUMBERED.decode(bytes.fromhex("0000000000000000 61636b")) == (0, ACK)


def test_new_lines_are_stripped_from_the_text_but_never_from_the_number() -> None:
    assert NUMBERED.decode(bytes(8) + b"a\nb\n\n") == (0, b"a\nb")
    assert NUMBERED.decode(b"\n" * 8) == (0x0A0A0A0A0A0A0A0A, b"")


@pytest.mark.parametrize("datagram", [b"", b"x", b"\n\n\n", b"1234567"])
def test_less_than_a_number_is_malformed(datagram: bytes) -> None:
    with pytest.raises(Malformed, match=f"{len(datagram)} bytes, and the number alone has 8"):
        NUMBERED.decode(datagram)


@pytest.mark.parametrize("message", [b"ack", b"ack\n\n"])
def test_an_acknowledgement_is_not_a_message(message: bytes) -> None:
    with pytest.raises(ValueError, match='a message cannot be "ack"'):
        NUMBERED.encode(0, message)
    assert LEGACY.encode(0, message) == message + b"\0"


@pytest.mark.parametrize(("codec", "most"), [(NUMBERED, 65_499), (LEGACY, 65_506)])
def test_a_message_has_at_most_what_one_datagram_carries(codec: Codec, most: int) -> None:
    codec.encode(0, b"x" * most)
    with pytest.raises(ValueError, match=f"at most {most} bytes, this one has {most + 1}"):
        codec.encode(0, b"x" * (most + 1))


def test_legacy_text_ends_with_a_nul() -> None:
    assert LEGACY.encode(7, b"pulsed") == b"pulsed\0"
    assert LEGACY.decode(b"pulsed\0") == (0, b"pulsed")
    assert LEGACY.decode(b"pulsed\0rest\0") == (0, b"pulsed")
    with pytest.raises(Malformed, match="there is no NUL byte"):
        LEGACY.decode(b"pulsed")
    with pytest.raises(ValueError, match="cannot contain a NUL byte"):
        LEGACY.encode(0, b"a\0b")
