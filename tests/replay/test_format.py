"""The log format: written data can be read again, and changed files are detected."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.replay.logs import ENTRIES, HEADER, TURNS, VALUES, written
from vcproxy.replay.format.entries import (
    ClockEntry,
    EndedEntry,
    Entry,
    NoReadEntry,
    PassedEntry,
    ReceivedEntry,
    decode,
    decode_passed,
    encode,
)
from vcproxy.replay.format.frames import VERSION
from vcproxy.replay.format.reader import LogError, RecordingLog
from vcproxy.replay.format.values import (
    DataclassValue,
    FailureValue,
    NotPlain,
    Pairs,
    Value,
    pack,
    pack_pairs,
    unpack,
    unpack_pairs,
)
from vcproxy.replay.format.varint import LONGEST_VARINT, BrokenOctets, Cursor, varint
from vcproxy.replay.format.writer import LONGEST, Writer

SOME: list[list[Entry]] = [
    [ClockEntry(1.5), ReceivedEntry(1, False, b"hello"), NoReadEntry(2)],
    [ClockEntry(2.0), ReceivedEntry(2, True, b"\0" * 300)],
    [
        ClockEntry(2.5),
        EndedEntry(1, None),
        EndedEntry(2, FailureValue("builtins", "OSError", ("cut",))),
    ],
]


@pytest.fixture
def place() -> Iterator[Path]:
    with TemporaryDirectory() as directory:
        yield Path(directory) / "log"


def entries(path: Path) -> list[list[Entry]]:
    return [list(frame.entries) for frame in RecordingLog(path)]


@given(st.integers(min_value=0, max_value=1 << 70))
def test_a_number_is_decoded_again(number: int) -> None:
    assert Cursor(varint(number)).varint() == number


@given(
    st.builds(
        PassedEntry,
        *[st.integers(min_value=0, max_value=1 << 20)] * 3,
        shared=st.booleans(),
        data=st.binary(max_size=300),
    )
)
def test_the_special_decoder_gives_what_the_general_one_gives(entry: PassedEntry) -> None:
    encoded = encode(entry)
    cursor = Cursor(encoded)
    cursor.place = 1
    assert decode_passed(cursor, entry.shared) == decode(Cursor(encoded)) == entry
    assert cursor.left == 0


@given(st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 1 << 20))).map(tuple))
def test_pairs_are_encoded_as_all_values_are(pairs: Pairs) -> None:
    encoded = pack_pairs(pairs)
    assert encoded == pack(pairs)
    assert unpack_pairs(Cursor(encoded)) == pairs


@pytest.mark.parametrize(
    "octets", [b"", b"l\0", b"t\1", b"t\1t\3+\1+\1", b"t\1t\2+\1d", b"t\2t\2+\1+\1"]
)
def test_what_is_not_pairs_is_refused(octets: bytes) -> None:
    with pytest.raises(BrokenOctets):
        unpack_pairs(Cursor(octets))


def test_a_number_that_is_too_long_is_refused() -> None:
    largest = (1 << 7 * LONGEST_VARINT) - 1
    assert Cursor(varint(largest)).varint() == largest
    assert unpack(Cursor(pack(-largest))) == -largest
    with pytest.raises(ValueError, match="a number of 7169 bits is too large"):
        varint(largest + 1)
    with pytest.raises(NotPlain, match="an integer of 7169 bits is too large"):
        pack(largest + 1)
    for octets in (b"\xff" * LONGEST_VARINT + b"\1", b"\xff" * (64 << 20)):
        with pytest.raises(BrokenOctets, match="a number is longer than 1024 bytes"):
            Cursor(octets).varint()


@given(VALUES)
def test_a_value_is_decoded_again(value: Value) -> None:
    cursor = Cursor(pack(value))
    assert unpack(cursor) == value
    assert cursor.left == 0


@given(ENTRIES)
def test_an_entry_is_decoded_again(entry: Entry) -> None:
    cursor = Cursor(encode(entry))
    back = decode(cursor)
    assert back == entry
    assert type(back) is type(entry)
    assert cursor.left == 0


@given(st.binary(max_size=60))
def test_any_bytes_are_an_entry_or_raise_broken_octets(data: bytes) -> None:
    try:
        decode(Cursor(data))
    except BrokenOctets:
        pass


@given(TURNS, st.booleans())
def test_a_log_is_read_and_written_again_unchanged(
    turns: list[list[Entry]], compress: bool
) -> None:
    header = replace(HEADER, compress=compress)
    with TemporaryDirectory() as directory:
        log, again = Path(directory) / "log", Path(directory) / "again"
        content = written(log, turns, header)
        read = RecordingLog(log)
        assert read.header == header
        assert entries(log) == turns
        assert written(again, entries(log), read.header) == content
        assert [step for step, _ in read.steps()] == list(range(1, sum(map(len, turns)) + 1))


@pytest.mark.parametrize("compress", [False, True])
def test_a_truncated_log_ends_with_its_last_complete_turn(place: Path, compress: bool) -> None:
    content = written(place, SOME, replace(HEADER, compress=compress))
    ends = [frame.offset + frame.size for frame in RecordingLog(place)]
    begin = RecordingLog(place)
    first = next(iter(begin)).offset
    for size in range(first, len(content)):
        place.write_bytes(content[:size])
        whole = sum(end <= size for end in ends)
        log = RecordingLog(place)
        assert not log.truncated, "nothing has been read yet"
        assert [list(frame.entries) for frame in log] == SOME[:whole]
        assert log.truncated == (size not in (first, *ends))


def test_a_log_truncated_in_its_header_is_refused(place: Path) -> None:
    content = written(place, SOME)
    first = next(iter(RecordingLog(place))).offset
    for size in range(1, first):
        place.write_bytes(content[:size])
        with pytest.raises(LogError, match="the file ends inside the header: nothing was recorded"):
            RecordingLog(place)


@pytest.mark.parametrize("compress", [False, True])
def test_a_changed_byte_anywhere_is_reported_with_its_step(place: Path, compress: bool) -> None:
    content = written(place, SOME, replace(HEADER, compress=compress))
    frames = list(RecordingLog(place))
    for at in range(len(content)):
        for flip in (1, 128, 255):
            changed = bytearray(content)
            changed[at] ^= flip
            place.write_bytes(changed)
            with pytest.raises(LogError) as raised:
                entries(place)
            for frame in frames:
                if frame.offset <= at < frame.offset + frame.size:
                    assert f"step {frame.step}, at byte {frame.offset}" in str(raised.value)


def test_a_file_that_is_no_log_is_refused(place: Path) -> None:
    with pytest.raises(LogError, match="cannot read the log: No such file"):
        RecordingLog(place)
    place.write_bytes(b"")
    with pytest.raises(LogError, match="the file is empty: nothing was recorded"):
        RecordingLog(place)
    place.write_bytes(b"[proxy]\n" * 20)
    with pytest.raises(LogError, match="not a log of vcproxy --record"):
        RecordingLog(place)
    content = written(place, SOME)
    place.write_bytes(content[:8] + b"\1" + content[9:])
    with pytest.raises(
        LogError, match=f"log of version 1, but this vcproxy reads version {VERSION}"
    ):
        RecordingLog(place)


def test_only_its_owner_may_read_a_log(place: Path) -> None:
    place.write_bytes(b"an old log")
    place.chmod(0o644)
    written(place, SOME)
    assert stat.S_IMODE(place.stat().st_mode) == 0o600


def test_a_log_stops_at_its_size_limit_and_is_readable(place: Path) -> None:
    reasons: list[str] = []
    writer = Writer(place, HEADER, most=1000, ended=reasons.append)
    for n in range(100):
        writer.add(ReceivedEntry(1, False, b"%d" % n * 20))
        writer.cut()
    writer.close()
    assert reasons == [f"{place}: recording stopped: the file has reached 1000 bytes"]
    assert place.stat().st_size <= 1000
    assert len(entries(place)) > 5
    assert not writer.open


def test_a_full_disk_stops_the_log_without_an_exception() -> None:
    reasons: list[str] = []
    header = replace(HEADER, sources={})
    if not os.access("/dev/full", os.W_OK):
        pytest.skip("no /dev/full here")
    Writer(Path("/dev/full"), header, ended=reasons.append).close()
    assert reasons == ["/dev/full: recording stopped: no space left on device"]


def test_a_long_turn_is_split_so_that_memory_is_bounded(place: Path) -> None:
    writer = Writer(place, HEADER)
    for _ in range(10):
        writer.add(ReceivedEntry(1, True, bytes(LONGEST // 2)))
        assert len(writer.out) <= LONGEST
    writer.close()
    assert sum(len(turn) for turn in entries(place)) == 10
    assert len(entries(place)) == 5


def test_exceptions_are_rebuilt_even_if_their_class_is_unknown() -> None:
    again = FailureValue.of(ConnectionResetError("reset by peer")).to_exception()
    assert type(again) is ConnectionResetError
    assert str(again) == "reset by peer"
    strange = FailureValue("missing.module", "Odd", ("it broke",)).to_exception()
    assert (type(strange).__name__, str(strange)) == ("Odd", "it broke")
    assert FailureValue.of(strange) == FailureValue("missing.module", "Odd", ("it broke",))
    assert type(FailureValue("vcproxy.__main__", "Odd", ()).to_exception()).__name__ == "Odd"


def test_data_that_is_not_plain_is_refused_with_its_class() -> None:
    with pytest.raises(NotPlain, match="object is not plain data"):
        pack([object()])
    circle: list[Value] = []
    circle.append(circle)
    with pytest.raises(NotPlain, match="nested too deeply"):
        pack(circle)
    with pytest.raises(NotPlain, match="no dataclass X in nowhere"):
        DataclassValue("nowhere", "X", ()).rebuild()
