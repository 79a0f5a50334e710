"""RtpReceiver: payloads, the order of packets, and what is no RTP packet."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcproxy.protocols.rtp import MOST_LATE, RtpReceiver


def rtp(
    number: int,
    payload: bytes = b"payload",
    *,
    sender: int = 1,
    sources: int = 0,
    extension: int | None = None,
    padding: int = 0,
) -> bytes:
    """Return an RTP packet: with contributing sources, a header extension, padding."""
    first = 0x80 | (padding > 0) << 5 | (extension is not None) << 4 | sources
    head = bytes([first, 33]) + (number & 0xFFFF).to_bytes(2) + bytes(4) + sender.to_bytes(4)
    head += sources * bytes(4)
    if extension is not None:
        head += bytes(2) + extension.to_bytes(2) + 4 * extension * b"x"
    return head + payload + (bytes(padding - 1) + bytes([padding]) if padding else b"")


@pytest.mark.parametrize(
    "options",
    [{}, {"sources": 3}, {"extension": 0}, {"extension": 2}, {"sources": 15, "extension": 9},
     {"padding": 1}, {"padding": 200}, {"sources": 1, "extension": 1, "padding": 4}],
)  # fmt: skip
def test_the_payload_is_what_remains(options: dict[str, Any]) -> None:
    assert RtpReceiver().payload(rtp(7, **options)) == b"payload"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        rtp(1)[:11],
        rtp(1, b""),
        rtp(1, sources=15)[:70],
        rtp(1, extension=3)[:20],
        b"\x90" + rtp(1)[1:14],  # the length of the extension is cut
        rtp(1, b"", padding=3),
        b"\xa0" + rtp(1, b"payload\xff")[1:],  # more padding than bytes
        b"\x40" + rtp(1)[1:],  # version 1
        b"\x47" + rtp(1)[1:],
    ],
)
def test_damaged_packets_have_no_payload(data: bytes) -> None:
    receiver = RtpReceiver()
    assert receiver.payload(data) == b""
    assert receiver.payload(rtp(1)) == b"payload", "its number was not used"


def test_late_packets_and_copies_have_none() -> None:
    receiver = RtpReceiver()
    order = [65534, 65535, 65535, 0, 65534, 2, 1, 3]
    taken = [n for n in order if receiver.payload(rtp(n)) is not None]
    assert taken == [65534, 65535, 0, 2, 3]


@pytest.mark.parametrize(("back", "taken"), [(1, False), (MOST_LATE, False), (MOST_LATE + 1, True)])
def test_a_sender_may_start_again(back: int, taken: bool) -> None:
    receiver = RtpReceiver()
    receiver.payload(rtp(4999))
    assert (receiver.payload(rtp(5000 - back)) is not None) is taken


def test_another_sender_has_numbers_of_its_own() -> None:
    receiver = RtpReceiver()
    for sender in (7, 8, 7):
        assert [receiver.payload(rtp(n, sender=sender)) for n in (9, 8)] == [b"payload", None]


@given(st.lists(st.integers(0, 90), unique=True))
def test_what_is_taken_is_in_order(order: list[int]) -> None:
    receiver = RtpReceiver()
    taken = [n for n in order if receiver.payload(rtp(65500 + n)) is not None]
    assert taken == sorted(taken)


@given(st.binary(max_size=100))
def test_any_bytes_are_taken(data: bytes) -> None:
    payload = RtpReceiver().payload(data)
    assert payload == b"" or (payload is not None and payload in data)
