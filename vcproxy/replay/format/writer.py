"""Writer: appends entries to a log, one frame at a time. Tested in tests/replay/test_format.py."""

from __future__ import annotations

import os
from collections.abc import Callable
from math import inf
from pathlib import Path

from vcproxy.replay.format.entries import Entry, encode
from vcproxy.replay.format.frames import MAGIC, START, VERSION, Octets, frame, small_frame
from vcproxy.replay.format.header import Header

BUFFER = 64 * 1024
"""Bytes collected for one system call. Above this size, copying costs more than a call."""

LONGEST = 64 * 1024
"""Bytes of a payload that are collected; a longer turn becomes several frames. This bounds the
memory, and above 128 KiB malloc would use mmap each time, which costs as much as all else."""

LARGE = 16 * 1024
"""Content of this many bytes is written without a copy, and ends its frame."""


NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
"""Flags to open a log. An existing file may be the recording of a crash: it is never opened."""


class Writer:
    """Writes a log. Only the file owner may read it, because it contains the clients' data.

    When a write fails, or the file has reached `most` bytes, the writer closes the file, calls
    `ended` with the reason, sets `open` to False and ignores further entries. Without `ended`
    it raises OSError.
    """

    def __init__(
        self,
        path: Path,
        header: Header,
        *,
        most: int = 0,
        ended: Callable[[str], None] | None = None,
    ) -> None:
        """Create a log. `most` 0: no limit.

        Raises OSError: FileExistsError if the path exists and is not a device or pipe.
        """
        self.path = path
        self.out = bytearray()
        """The payload of the current frame: encoded entries are appended."""
        self.open = True
        self._compress = header.compress
        self._most = most or inf
        self._ended = ended
        self._size = 0
        self._ready = bytearray(START.pack(MAGIC, VERSION))
        self._fd = _opened(path)
        self.out += header.pack()
        self.cut()
        self.flush()

    def add(self, entry: Entry) -> None:
        """Append an entry to the current frame. End the frame if it has become long."""
        self.out += encode(entry)
        if len(self.out) > LONGEST:
            self.cut()

    def cut(self, tail: Octets = b"") -> None:
        """End the frame, unless it is empty. `tail`: its last bytes, which are not copied."""
        out = self.out
        if not out:
            return
        if self.open:
            if tail or self._compress:
                pieces = frame([out, tail] if tail else [out], self._compress)
            else:
                pieces = [small_frame(out)]
            size = sum(map(len, pieces))
            self._size += size
            if self._size > self._most:
                self._end(f"the file has reached {self._most} bytes")
            elif size < BUFFER:
                for piece in pieces:
                    self._ready += piece
                if len(self._ready) > BUFFER:
                    self.flush()
            else:
                self._write([self._ready, *pieces])
                self._ready.clear()
        out.clear()

    def flush(self) -> None:
        """Write the finished frames to the file."""
        ready = self._ready
        if ready:
            self._write([ready])
            ready.clear()

    def _write(self, pieces: list[Octets]) -> None:
        try:
            left = sum(map(len, pieces))
            count = os.writev(self._fd, pieces)
            while count < left:  # the disk is nearly full
                pieces = [memoryview(b"".join(pieces))[count:]]
                left -= count
                count = os.write(self._fd, pieces[0])
        except OSError as error:
            self._end(os.strerror(error.errno or 0).lower())

    def close(self) -> None:
        """End the last frame and close the file."""
        self.cut()
        self.flush()
        if self.open:
            self.open = False
            os.close(self._fd)

    def _end(self, reason: str) -> None:
        if self.open:
            self.open = False
            self.flush()  # on a full disk this fails again, and nothing changes
            os.close(self._fd)
            if self._ended is None:
                raise OSError(0, reason, str(self.path))
            self._ended(f"{self.path}: recording stopped: {reason}")


def _opened(path: Path) -> int:
    try:
        return os.open(path, NEW, 0o600)
    except FileExistsError:
        if path.is_file() or path.is_dir():
            raise
        return os.open(path, os.O_WRONLY | os.O_CLOEXEC)
