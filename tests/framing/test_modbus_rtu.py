"""Frames of Modbus RTU, in streams that are cut anywhere and damaged anyhow."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymodbus.framer import FramerRTU
from pymodbus.pdu import DecodePDU

from tests.protocols.test_modbus import PDUS
from vcproxy.framing.decoding import Damaged, FramingError
from vcproxy.framing.modbus_rtu import ModbusRtu, modbus_rtu, rtu_frame

REQUESTS = [rtu_frame(17, request) for request, _ in PDUS]
REPLIES = [rtu_frame(17, reply) for _, reply in PDUS]
SIDES = {"request": REQUESTS, "reply": REPLIES}
each_side = pytest.mark.parametrize(("framing", "frames"), [
    pytest.param(modbus_rtu(side), frames, id=side) for side, frames in SIDES.items()  # type: ignore[arg-type]
])  # fmt: skip

Split = tuple[list[bytes | Damaged], FramingError | None]


def split(framing: ModbusRtu, *pieces: bytes) -> Split:
    decoder = framing.decoder()
    found = [each for piece in pieces for each in decoder.feed(piece)]
    decoder.finish()
    return found, decoder.fault


def one_by_one(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


def test_the_crc_is_that_of_the_specification() -> None:
    # MODBUS over Serial Line 1.02, appendix B: 02 07, then 41 12 on the line
    assert rtu_frame(2, b"\7") == bytes.fromhex("02 07 41 12")


@pytest.mark.parametrize("pdu", [pdu for exchange in PDUS for pdu in exchange])
def test_frames_are_those_of_pymodbus(pdu: bytes) -> None:
    assert FramerRTU(DecodePDU(False)).encode(pdu, 17, 0) == rtu_frame(17, pdu)


@each_side
def test_all_frames_of_one_stream_are_found(framing: ModbusRtu, frames: list[bytes]) -> None:
    stream = b"".join(frames)
    assert split(framing, stream) == (frames, None)
    assert split(framing, *one_by_one(stream)) == (frames, None)
    for at in range(len(stream)):
        assert split(framing, stream[:at], stream[at:]) == (frames, None)


@each_side
def test_a_stream_that_ends_inside_a_frame_is_truncated(
    framing: ModbusRtu, frames: list[bytes]
) -> None:
    for frame in frames:
        for cut in range(1, len(frame)):
            assert split(framing, frame[:cut]) == ([], FramingError.TRUNCATED)


@each_side
def test_a_wrong_crc_damages_one_frame(framing: ModbusRtu, frames: list[bytes]) -> None:
    first, *_, last = frames
    for frame in frames:
        bad = frame[:-1] + bytes((frame[-1] ^ 1,))
        assert split(framing, first + bad + last)[0] == [first, Damaged(bad, "wrong CRC"), last]


def test_one_stream_that_is_searched() -> None:
    reply = rtu_frame(1, bytes.fromhex("03 02 1234"))
    # A byte before it: unit 0, function 1, and 3 bytes are claimed, in a frame of 8.
    found, fault = split(modbus_rtu("reply"), b"\0" + reply + reply)
    assert found == [Damaged(b"\0" + reply, "wrong CRC"), reply, reply]
    assert fault is None


def test_an_unknown_function_is_damaged_at_once() -> None:
    decoder = modbus_rtu("reply").decoder()
    assert decoder.feed(b"\1") == []
    assert decoder.feed(b"\x5a") == [Damaged(b"\1\x5a", "the length of function 90 is not defined")]
    reply = rtu_frame(1, b"\x83\2")
    assert decoder.feed(b"\0\0" + reply) == [reply]


def test_what_claims_to_be_longer_ends_with_its_length() -> None:
    reply = rtu_frame(1, bytes.fromhex("03 02 1234"))
    claims = bytes.fromhex("01 03 08 00")  # 13 bytes, of which 4 arrive
    decoder = modbus_rtu("reply").decoder()
    assert decoder.feed(claims) == []
    assert decoder.feed(reply) == []
    assert decoder.feed(reply) == [Damaged(claims + reply + reply[:2], "wrong CRC"), reply, reply]


pieces = st.lists(
    st.one_of(
        st.sampled_from([*REQUESTS, *REPLIES]),
        st.binary(max_size=9),
        st.sampled_from([*REQUESTS, *REPLIES]).flatmap(
            lambda frame: st.integers(0, len(frame)).map(lambda cut: frame[:cut])
        ),
    ),
    max_size=8,
).map(b"".join)


@pytest.mark.parametrize("side", SIDES)
@given(data=pieces, cuts=st.lists(st.integers(0, 400), max_size=5))
def test_the_frames_are_the_same_however_the_stream_is_cut(
    side: str, data: bytes, cuts: list[int]
) -> None:
    framing = modbus_rtu(side)  # type: ignore[arg-type]
    whole = split(framing, data)
    assert split(framing, *one_by_one(data)) == whole
    ends = sorted(cuts)
    parts = [data[begin:end] for begin, end in zip([0, *ends], [*ends, len(data)], strict=True)]
    assert split(framing, *parts) == whole
    for each in whole[0]:
        if isinstance(each, bytes):
            assert framing.encode(each) == each
            assert rtu_frame(each[0], each[1:-2]) == each


@given(noise=st.binary(max_size=30), after=st.sampled_from(REPLIES))
def test_after_noise_and_a_longest_frame_the_line_is_in_step(noise: bytes, after: bytes) -> None:
    found, _ = split(modbus_rtu("reply"), noise + bytes(300) + after)
    assert found[-1:] == [after]


@each_side
def test_only_one_frame_is_encoded(framing: ModbusRtu, frames: list[bytes]) -> None:
    first, last = frames[0], frames[-1]
    assert framing.encode(first) == first
    for wrong in (b"", first[:-1], first + b"x", first + last, b"\1\x5a\0\0", bytes(300)):
        with pytest.raises(ValueError, match="not one frame of Modbus RTU"):
            framing.encode(wrong)


def test_the_side_is_request_or_reply() -> None:
    with pytest.raises(ValueError, match="not 'both'"):
        modbus_rtu("both")  # type: ignore[arg-type]
