"""Simulated files that are opened to be sent.

Tested in tests/conformance/test_stored_files.py.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from vcproxy.drivers.stored_files import Refused, find_file, refusal
from vcproxy.drivers.watching.file_system import Kind
from vcproxy.engine.file_range import FileRange
from vcproxy.engine.sources.stored_file import FileFailed, FileOpened, FileRefused

if TYPE_CHECKING:
    from vcproxy.drivers.sim.files.inode import SimInode
    from vcproxy.drivers.sim.network import Network
    from vcproxy.drivers.sim.port_driver import PortDriver
    from vcproxy.engine.blocks import Block
    from vcproxy.engine.net import NetVConnection
    from vcproxy.engine.sources.stored_file import StoredFile

AT_ONCE = 64 * 1024
"""Bytes of a file that one write takes at most."""

_MODES = {
    Kind.FILE: stat.S_IFREG,
    Kind.DIRECTORY: stat.S_IFDIR,
    Kind.LINK: stat.S_IFLNK,
    Kind.NOTHING: stat.S_IFIFO,
}
"""The kinds of simulated inodes; NOTHING stands for a special file."""


class _Entry:
    """See Node."""

    def __init__(self, inode: SimInode) -> None:
        self.inode = inode
        self.mode = _MODES[inode.kind]

    def child(self, name: str) -> _Entry:
        """See Node."""
        inode = self.inode
        if inode.kind is not Kind.DIRECTORY:
            raise OSError(errno.ENOTDIR, "")
        if not inode.readable:
            raise OSError(errno.EACCES, "")
        found = inode.entries.get(name)
        if found is None:
            raise OSError(errno.ENOENT, "")
        return _Entry(found.top)

    def target(self) -> str:
        """See Node."""
        return self.inode.content.decode()

    def close(self) -> None:
        """See Node."""


class SimOpenedFile:
    """What is opened for a StoredFile. See Opened and FileHandle."""

    def __init__(
        self,
        driver: PortDriver,
        network: Network,
        source: StoredFile,
        ended: Callable[[], object],
    ) -> None:
        self._driver = driver
        self._network = network
        self._source = source
        self._ended = ended
        self._inode: SimInode | None = None
        self._closed = False
        source.handle = self
        after = network.span(network.faults.call_s)
        network.clock.after(after, partial(driver.complete, self._open))

    def _open(self) -> None:
        if self._closed:
            return
        source = self._source
        event: FileOpened | FileRefused
        try:
            _, _, top = self._network.files.find(source.folder)
            if top is None:
                raise OSError(errno.ENOENT, "")
            index, above, name = find_file(_Entry(top), source.paths)
            inode = above.child(name).inode  # type: ignore[attr-defined]
            if not inode.readable:
                raise OSError(errno.EACCES, "")
        except Refused as reason:
            event = FileRefused(source.name, reason.why, str(reason))
        except OSError as error:
            event = FileRefused(source.name, *refusal(error))
        else:
            self._inode = inode
            event = FileOpened(source.name, index, len(inode.content), inode.modified_ns)
        if isinstance(event, FileRefused):
            self._ended()
        self._driver.engine.happened(source, event)

    def read(self, offset: int, size: int) -> bytes:
        """See FileHandle."""
        if self._inode is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return self._inode.content[offset : offset + size]

    def set_watched(self, watched: bool) -> None:
        """See Opened. The engine keeps its events."""

    def close(self) -> None:
        """Let go of the file."""
        self._closed = True
        self._inode = None


def as_bytes(vc: NetVConnection, views: Sequence[Block]) -> list[Block]:
    """Return what a port writes now of these views: the first bytes, or a part of the first range.

    Nothing, if that range cannot be read: FileFailed follows.
    """
    first = views[0]
    if isinstance(first, FileRange):
        data = read_range(vc, first)
        return [data] if data else []
    before: list[Block] = []
    for view in views:
        if isinstance(view, FileRange):
            break
        before.append(view)
    return before


def read_range(vc: NetVConnection, piece: FileRange) -> bytes:
    """Return the first bytes of a range; b"": it cannot be read, and FileFailed follows."""
    file, size = piece.file, min(len(piece), AT_ONCE)
    if file.handle is None:
        return bytes(size)  # what was recorded happens at the source: its content is not known
    try:
        data = file.handle.read(piece.offset, size)
        text = "shorter than when it was opened"
    except OSError as error:
        data, text = b"", str(error.strerror).lower()
    if not data:
        vc.soon(lambda: vc.engine.happened(file, FileFailed(file.name, text)))
    return data
