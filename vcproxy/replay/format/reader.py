"""Reader: reads a log from its beginning, one frame at a time.

Tested in tests/replay/test_format.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from vcproxy.replay.format.entries import Entry, decode
from vcproxy.replay.format.frames import HEAD, MAGIC, START, VERSION, BrokenFrame, length, payload
from vcproxy.replay.format.header import Header
from vcproxy.replay.format.varint import BrokenOctets, Cursor


class LogError(Exception):
    """A log cannot be read. The text contains the file, the position and the reason."""


class Frame(NamedTuple):
    """A turn of the engine, or a part of a long one."""

    step: int
    """The number of the frame's first entry in the log, from 1."""
    offset: int
    """Where the frame begins in the file."""
    size: int
    """Bytes of the frame in the file."""
    entries: tuple[Entry, ...]


class RecordingLog:
    """A log file. It can be iterated over repeatedly; only one frame is in memory at a time.

    An incomplete last frame (the process was killed) is ignored.
    """

    def __init__(self, path: Path) -> None:
        """Read the header. Raises LogError."""
        self.path = path
        self.truncated = False
        """Whether the last frame was never finished; known after an iteration to the end."""
        with self._opened() as file:
            start = file.read(START.size)
            self._check_start(start)
            read = self._frame(file, START.size, 0)
            if read is None:
                raise LogError(f"{path}: the file ends inside the header: nothing was recorded")
            try:
                self.header = Header.unpack(read)
            except BrokenOctets as error:
                raise LogError(f"{path}: the header cannot be read: {error}") from None
            self._first = file.tell()
            self.size = file.seek(0, 2)
            """Bytes of the file when it was opened."""

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames. Raises LogError."""
        step = 1

        def reached() -> int:
            return step

        for offset, size, content in self.payloads(reached):
            entries = self._entries(content, offset, step)
            yield Frame(step, offset, size, entries)
            step += len(entries)

    def payloads(self, step: Callable[[], int]) -> Iterator[tuple[int, int, bytes]]:
        """Yield the offset, the size and the undecoded entries of each frame.

        `step` returns the number of the next step, for the text of a LogError. Raises LogError.
        """
        self.truncated = False
        with self._opened() as file:
            offset = file.seek(self._first)
            while (read := self._frame(file, offset, step())) is not None:
                end = file.tell()
                yield offset, end - offset, read
                del read  # free its memory before the next frame is read
                offset = end

    def steps(self) -> Iterator[tuple[int, Entry]]:
        """Yield the entries with their step numbers. Raises LogError."""
        for frame in self:
            yield from enumerate(frame.entries, frame.step)

    def _opened(self) -> BinaryIO:
        try:
            return open(self.path, "rb")
        except OSError as error:
            raise LogError(f"{self.path}: cannot read the log: {error.strerror}") from None

    def _check_start(self, start: bytes) -> None:
        if not start:
            raise LogError(f"{self.path}: the file is empty: nothing was recorded")
        if not start.startswith(MAGIC[: len(start)]):
            raise LogError(f"{self.path}: not a log of vcproxy --record")
        if len(start) < START.size:
            raise LogError(f"{self.path}: the file ends inside the header: nothing was recorded")
        _, version = START.unpack(start)
        if version != VERSION:
            raise LogError(
                f"{self.path}: log of version {version}, but this vcproxy reads version "
                f"{VERSION}: use the vcproxy that recorded it"
            )

    def _frame(self, file: BinaryIO, offset: int, step: int) -> bytes | None:
        """Return the payload of the next frame; None at the end."""
        try:
            head = file.read(HEAD.size)
            if len(head) < HEAD.size:
                self.truncated = bool(head)
                return None
            size = length(head)
            body = file.read(size)
            if len(body) < size:
                self.truncated = True
                return None
            return payload(head, body)
        except (BrokenFrame, OSError) as error:
            raise self.broken(offset, step, error) from None

    def _entries(self, read: bytes, offset: int, step: int) -> tuple[Entry, ...]:
        cursor = Cursor(read)
        entries: list[Entry] = []
        try:
            while cursor.left:
                entries.append(decode(cursor))
        except BrokenOctets as error:
            raise self.broken(offset, step + len(entries), error) from None
        return tuple(entries)

    def broken(self, offset: int, step: int, why: Exception) -> LogError:
        """Return the error for a position in the log."""
        where = f"step {step}" if step else "header"
        return LogError(
            f"{self.path}: {where}, at byte {offset}: {why}; the log is readable up to there"
        )
