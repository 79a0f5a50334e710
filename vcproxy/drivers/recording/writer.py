"""Writer: appends entries to a log, a frame at a time."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from vcproxy.drivers.recording.entries import Entry, encode
from vcproxy.drivers.recording.frames import MAGIC, START, VERSION, frame
from vcproxy.drivers.recording.header import Header

BUFFER = 64 * 1024
"""Bytes gathered for one system call: the cost of one is then lost in that of the bytes."""

LONGEST = 512 * 1024
"""Bytes of a payload, about: two large reads. A longer turn is cut, so that memory is bounded."""


def _silent(reason: str) -> None:
    """Nobody wants to know."""


class Writer:
    """Writes a log; nobody but its owner may read the file, for it holds what clients said.

    When nothing more can be written, or `most` bytes are, it says so to `ended` and takes
    everything from then on for nothing: `open` is False.
    """

    def __init__(
        self,
        path: Path,
        header: Header,
        *,
        most: int = 0,
        ended: Callable[[str], None] = _silent,
    ) -> None:
        """Begin a log, in place of one that is there. `most` 0: no limit. Raises OSError."""
        self.path = path
        self.out = bytearray()
        """The payload of the frame that is being made: encoded entries are appended."""
        self.open = True
        self._compress = header.compress
        self._most = most
        self._ended = ended
        self._size = 0
        self._ready = bytearray(START.pack(MAGIC, VERSION))
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        os.fchmod(self._fd, 0o600)  # it may have been there
        self.out += header.pack()
        self.cut()
        self.flush()

    @property
    def waiting(self) -> int:
        """Bytes of whole frames that are not in the file yet."""
        return len(self._ready)

    def add(self, entry: Entry) -> None:
        """Append an entry to the present frame."""
        self.out += encode(entry)
        if len(self.out) > LONGEST:
            self.cut()

    def cut(self) -> None:
        """End the frame, if there is something in it."""
        if not self.out:
            return
        if self.open:
            head, payload = frame(self.out, self._compress)
            if self._most and self._size + len(self._ready) + len(head) + len(payload) > self._most:
                self._end(f"it has its {self._most} bytes")
            else:
                self._ready += head
                self._ready += payload
                if len(self._ready) > BUFFER:
                    self.flush()
        self.out.clear()

    def flush(self) -> None:
        """Write the whole frames to the file."""
        try:
            while self._ready:
                count = os.write(self._fd, self._ready)
                self._size += count
                del self._ready[:count]
        except OSError as error:
            self._ready.clear()
            self._end(os.strerror(error.errno or 0).lower())

    def close(self) -> None:
        """End the log."""
        self.cut()
        if self.open:
            self.flush()
            self._close()

    def _end(self, reason: str) -> None:
        if self.open:
            self._close()
            self._ended(f"{self.path}: recording has ended: {reason}")

    def _close(self) -> None:
        self.open = False
        try:
            while self._ready:
                del self._ready[: os.write(self._fd, self._ready)]
        except OSError:
            self._ready.clear()  # the frames that are there are enough
        os.close(self._fd)
