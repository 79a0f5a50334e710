"""Ranges of files in a buffer: their order, their parts, and that they occupy nothing."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.engine.world import EventRecorder, engine
from vcproxy.engine.blocks import Block, Memory
from vcproxy.engine.file_range import FileRange
from vcproxy.engine.iobuffer import IOBuffer
from vcproxy.engine.sources.stored_file import StoredFile

CONTENT = bytes(range(256)) * 4


def stored_file() -> StoredFile:
    recorder = EventRecorder(engine())
    with recorder.mutex.hold(recorder.engine):
        return StoredFile(recorder, "file", "/srv", ("a",))


def content(block: Block) -> bytes:
    """The bytes that a block stands for."""
    if isinstance(block, FileRange):
        return CONTENT[block.offset : block.offset + block.size]
    return bytes(block)


def test_parts_are_relative() -> None:
    piece = FileRange(stored_file(), 100, 50)
    assert content(piece.part(10)) == CONTENT[110:150]  # type: ignore[arg-type]
    assert content(piece.part(10, 20)) == CONTENT[110:120]  # type: ignore[arg-type]
    assert len(piece.part(40, 1000)) == 10
    assert piece.part(10, 20).text == b"1 110 10"
    assert repr(piece) == "<FileRange 100+50 of file>"


def test_a_range_without_a_reader_is_lost_as_bytes_are() -> None:
    buffer = IOBuffer(Memory(1 << 20))
    buffer.write_range(FileRange(stored_file(), 0, 10))
    assert (buffer.written, buffer.held, buffer.blocks) == (10, 0, [])


PIECES = st.one_of(
    st.binary(max_size=20),
    st.tuples(st.integers(0, 500), st.integers(1, 500)),
)


@given(st.lists(PIECES, max_size=8), st.lists(st.integers(1, 300), min_size=1))
def test_bytes_and_ranges_are_read_in_order(
    pieces: list[bytes | tuple[int, int]], steps: list[int]
) -> None:
    file = stored_file()
    memory = Memory(1 << 20)
    buffer = IOBuffer(memory)
    reader = buffer.reader()
    wanted = b""
    for piece in pieces:
        if isinstance(piece, bytes):
            buffer.write(piece)
            wanted += piece
        else:
            buffer.write_range(FileRange(file, *piece))
            wanted += CONTENT[piece[0] : piece[0] + piece[1]]
    assert buffer.held == memory.used <= sum(len(p) for p in pieces if isinstance(p, bytes))
    got, turn = b"", 0
    while reader.avail:
        step = steps[turn % len(steps)]
        turn += 1
        data = b"".join(map(content, reader.views(step)))
        assert 0 < len(data) <= step
        reader.consume(len(data))
        got += data
    assert got == wanted
    assert (buffer.held, memory.used) == (0, 0)
