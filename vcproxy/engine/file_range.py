"""FileRange: a part of a file in a buffer, in place of its bytes.

A driver sends it from the file to the socket, without the bytes passing through Python. Tested in
tests/engine/test_file_range.py and tests/conformance/test_stored_files.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vcproxy.engine.sources.stored_file import StoredFile


class FileRange:
    """The `size` bytes of a file from `offset` on. Its length is `size`, as that of any block.

    It never changes. The file must stay open until the range was sent or its connection is closed.
    """

    __slots__ = ("file", "offset", "size")

    def __init__(self, file: StoredFile, offset: int, size: int) -> None:
        self.file = file
        self.offset = offset
        self.size = size

    def __len__(self) -> int:
        return self.size

    def __repr__(self) -> str:
        return f"<FileRange {self.offset}+{self.size} of {self.file.name}>"

    def part(self, start: int, stop: int | None = None) -> FileRange:
        """Return the bytes from `start` up to `stop` (None: the end), both relative to this."""
        end = self.size if stop is None else min(stop, self.size)
        return FileRange(self.file, self.offset + start, end - start)

    @property
    def text(self) -> bytes:
        """What stands for its bytes in a recording: equal in a replay."""
        return f"{self.file.number} {self.offset} {self.size}".encode()
