"""FileOutput: writes a stream port's output while that may have ranges of files.

It takes the place of `StreamPort.write`: ranges go from the file to the socket inside the kernel by
sendfile(2), or are read and encrypted where the port has TLS. Output and port refer to each other.
Tested in tests/conformance/test_stored_files.py.
"""

from __future__ import annotations

import errno
import os
from functools import partial
from typing import TYPE_CHECKING

from vcproxy.drivers.epoll.opened_files import OpenedFile
from vcproxy.engine.file_range import FileRange
from vcproxy.engine.sources.stored_file import FileFailed

if TYPE_CHECKING:
    from vcproxy.drivers.epoll.stream import StreamPort
    from vcproxy.engine.blocks import Block

_OF_FILE = (errno.EINVAL, errno.EIO, errno.ESTALE, errno.EOVERFLOW, errno.ENOSYS)
"""Errors of sendfile(2) that concern the file, or a file system that does not support it."""

COPIED = 64 * 1024
"""Bytes that are read from a file at once where they cannot be sent inside the kernel."""


class FileOutput:
    """The output of one port. `move` is called in place of the port's `write`."""

    __slots__ = ("_failed", "_port")

    def __init__(self, port: StreamPort) -> None:
        self._port = port
        self._failed = False
        port.bridged_in = self

    def move(self) -> None:
        """Write the data that `begin_write()` returns, bytes or a range, with one system call. Once
        it returns bytes only, the port writes by itself again."""
        port = self._port
        if not port.writable:
            return
        vc = port.vc
        views = vc.begin_write()
        if views is None:
            return
        first = views[0]
        if isinstance(first, FileRange):
            vc.sent(self.send(first))
            return
        before: list[Block] = []
        for view in views:
            if isinstance(view, FileRange):
                break
            before.append(view)
        if len(before) == len(views):
            port.bridged_in = None
        vc.sent(port.push(before[0] if len(before) == 1 else b"".join(before)))

    def send(self, piece: FileRange) -> int:
        """Send as much of a range as the socket takes now; return how many bytes.

        The VC's lock is held: an error is reported in a later call.
        """
        port, file = self._port, piece.file.handle
        if not port.writable or not isinstance(file, OpenedFile) or file.fd < 0:
            return 0
        if not port.spliceable:
            return self._copy(file, piece)
        try:
            count = os.sendfile(port.fd, file.fd, piece.offset, piece.size)
        except BlockingIOError:
            port.writable = False
            return 0
        except OSError as error:
            if error.errno in _OF_FILE:
                return self._copy(file, piece)  # reading it shows whether it can be read at all
            port.vc.soon(partial(port.connection_lost, error))
            return 0
        if not count:
            self._file_failed(piece, None)
        return count

    def _copy(self, file: OpenedFile, piece: FileRange) -> int:
        try:
            data = file.read(piece.offset, min(piece.size, COPIED))
        except OSError as error:
            self._file_failed(piece, error)
            return 0
        if not data:
            self._file_failed(piece, None)
            return 0
        return self._port.push(data)

    def _file_failed(self, piece: FileRange, error: OSError | None) -> None:
        """Report once that the file cannot be sent."""
        if self._failed:
            return
        self._failed = True
        text = "shorter than when it was opened" if error is None else str(error.strerror).lower()
        source, vc = piece.file, self._port.vc
        vc.soon(lambda: vc.engine.happened(source, FileFailed(source.name, text)))

    def stop(self) -> None:
        """Let the port write by itself: it is about to be closed."""
        self._port.bridged_in = None
