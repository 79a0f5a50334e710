"""SimFiles: the file system of a simulation, which its engines watch and its scripts change.

What happens is reported as by Linux: tests/drivers/test_sim_files.py compares the two.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from posixpath import join, normpath
from typing import TYPE_CHECKING

from vcproxy.drivers.sim.files.inode import SimInode
from vcproxy.drivers.watching.file_system import (
    ACCESS,
    ATTRIB,
    CLOSE_NOWRITE,
    CLOSE_WRITE,
    ISDIR,
    MODIFY,
    MOVE_SELF,
    MOVED_FROM,
    MOVED_TO,
    OPEN,
    Kind,
)

if TYPE_CHECKING:
    from vcproxy.drivers.sim.files.queue import SimQueue

MAX_LINKS = 40
"""Symlinks in one path."""


class SimFiles:
    """Files, directories, symlinks and mounts. Paths are absolute, or relative to "/".

    A script changes them with the methods; each takes effect, and is reported, at once. They raise
    OSError as the kernel does.
    """

    def __init__(self) -> None:
        self.root = SimInode(Kind.DIRECTORY)
        self.clock: Callable[[], int] = lambda: 0
        """The time of day in nanoseconds, for the times of files."""
        self.queues: dict[SimQueue, None] = {}
        """The open instances of inotify."""
        self.max_watches = 192_000
        """fs.inotify.max_user_watches."""
        self.max_instances = 128
        """fs.inotify.max_user_instances."""
        self.max_queued_events = 16_384
        """fs.inotify.max_queued_events."""

    # -- for scripts -------------------------------------------------------------------------

    def write(self, path: str, content: bytes | str) -> None:
        """Create a file, or replace its content in place; missing directories are created."""
        self.mkdir(path.rpartition("/")[0])
        above, name, inode = self.find(path)
        data = content.encode() if isinstance(content, str) else content
        if inode is None:
            inode = SimInode(Kind.FILE)
            above.add(name, inode)
            inode.happened(OPEN, above, name)
        else:
            self._check_file(path, inode)
            inode.happened(OPEN, above, name)
            inode.content = b""
            inode.happened(MODIFY, above, name)
        self._write(above, name, inode, data)

    def append(self, path: str, content: bytes | str) -> None:
        """Write at the end of a file."""
        above, name, inode = self._existing(path)
        self._check_file(path, inode)
        data = content.encode() if isinstance(content, str) else content
        inode.happened(OPEN, above, name)
        self._write(above, name, inode, inode.content + data)

    def _write(self, above: SimInode, name: str, inode: SimInode, content: bytes) -> None:
        if content != inode.content:
            inode.content = content
            inode.modified_ns = self.clock()
            inode.happened(MODIFY, above, name)
        inode.happened(CLOSE_WRITE, above, name)

    def read(self, path: str) -> bytes:
        """Open, read and close a file."""
        above, name, inode = self._existing(path)
        self._check_file(path, inode)
        if not inode.readable:
            raise _error(errno.EACCES, path)
        inode.happened(OPEN, above, name)
        if inode.content:
            inode.happened(ACCESS, above, name)
        inode.happened(CLOSE_NOWRITE, above, name)
        return inode.content

    def list(self, path: str) -> list[str]:
        """Open, read and close a directory; return its names in alphabetical order."""
        above, name, inode = self._existing(path)
        if inode.kind is not Kind.DIRECTORY:
            raise _error(errno.ENOTDIR, path)
        if not inode.readable:
            raise _error(errno.EACCES, path)
        for mask in (OPEN, ACCESS, ACCESS, CLOSE_NOWRITE):  # the second read finds no more
            inode.happened(mask, above, name)
        return sorted(inode.entries)

    def mkdir(self, path: str) -> None:
        """Create a directory and those above it, unless they exist."""
        place = ""
        for part in _parts(path):
            place += "/" + part
            above, name, inode = self.find(place, follow=False)
            if inode is None:
                above.add(name, SimInode(Kind.DIRECTORY))
            elif self._existing(place)[2].kind is not Kind.DIRECTORY:
                raise _error(errno.EEXIST, place)

    def symlink(self, path: str, target: str) -> None:
        """Create a symlink."""
        above, name, inode = self.find(path, follow=False)
        if inode is not None:
            raise _error(errno.EEXIST, path)
        above.add(name, SimInode(Kind.LINK, target.encode()))

    def link(self, path: str, other: str) -> None:
        """Give a file another name."""
        _, _, inode = self._existing(path, follow=False)
        above, name, there = self.find(other, follow=False)
        if inode.kind is Kind.DIRECTORY:
            raise _error(errno.EPERM, path)
        if there is not None:
            raise _error(errno.EEXIST, other)
        inode.links += 1
        inode.report(ATTRIB)
        above.add(name, inode)

    def rename(self, old: str, new: str) -> None:
        """Move a file, directory or symlink; what is at the new path is replaced."""
        from_above, from_name, inode = self._existing(old, follow=False)
        above, name, replaced = self.find(new, follow=False)
        if replaced is inode:
            return
        if inode is above or inode.contains(above):
            raise _error(errno.EINVAL, new)
        if replaced is not None:
            if (replaced.kind is Kind.DIRECTORY) is not (inode.kind is Kind.DIRECTORY):
                raise _error(errno.EISDIR if _isdir(replaced) else errno.ENOTDIR, new)
            if replaced.entries:
                raise _error(errno.ENOTEMPTY, new)
        del from_above.entries[from_name]
        from_above.report(MOVED_FROM | _isdir(inode), from_name)
        above.add(name, inode, MOVED_TO)
        if replaced is not None and replaced.kind is not Kind.DIRECTORY:
            replaced.report(ATTRIB)
        inode.report(MOVE_SELF)
        if replaced is not None:
            replaced.unlinked()

    def delete(self, path: str) -> None:
        """Delete a file, a symlink, or a directory with all that is in it."""
        _, _, inode = self._existing(path, follow=False)
        for each in sorted(inode.entries):
            self.delete(join(path, each))
        self.remove(path)

    def remove(self, path: str) -> None:
        """Delete a file, a symlink or an empty directory."""
        above, name, inode = self._existing(path, follow=False)
        if above.entries[name].mounted is not None:
            raise _error(errno.EBUSY, path)
        if inode.entries:
            raise _error(errno.ENOTEMPTY, path)
        above.remove(name)

    def touch(self, path: str) -> None:
        """Change the times of a file or directory, as touch(1) does; create a missing file."""
        above, name, inode = self.find(path)
        if inode is None:
            inode = SimInode(Kind.FILE)
            above.add(name, inode)
        masks = (ATTRIB,) if inode.kind is Kind.DIRECTORY else (OPEN, ATTRIB, CLOSE_WRITE)
        for mask in masks:
            inode.happened(mask, above, name)

    def allow(self, path: str, readable: bool) -> None:
        """Let the user of the process read a file or enter a directory, or not."""
        above, name, inode = self._existing(path)
        inode.readable = readable
        inode.happened(ATTRIB, above, name)

    def mount(self, path: str) -> None:
        """Mount an empty file system at a directory. That is not reported, as by Linux."""
        self._existing(path)[2].mounted = SimInode(Kind.DIRECTORY)

    def unmount(self, path: str) -> None:
        """Unmount what was mounted there last."""
        above, name, _ = self._existing(path)
        below = above.entries[name]
        while below.mounted is not None and below.mounted.mounted is not None:
            below = below.mounted
        if below.mounted is None:
            raise _error(errno.EINVAL, path)
        mounted, below.mounted = below.mounted, None
        mounted.unmounted()

    def overflow(self) -> None:
        """Fill the queues of all instances of inotify, so that events are lost."""
        for queue in self.queues:
            limit, queue.limit = queue.limit, len(queue)
            queue.put(0, 0, "")
            queue.limit = limit

    # -- paths -------------------------------------------------------------------------------

    def find(self, path: str, follow: bool = True) -> tuple[SimInode, str, SimInode | None]:
        """Return the directory, the name, and what is there, if anything. Raises OSError."""
        return self._find(path, follow, MAX_LINKS)

    def _find(self, path: str, follow: bool, links: int) -> tuple[SimInode, str, SimInode | None]:
        above, name, place = self.root, "", "/"
        inode: SimInode | None = self.root.top
        parts = _parts(path)
        for number, part in enumerate(parts):
            if inode is None:
                raise _error(errno.ENOENT, path)
            if inode.kind is not Kind.DIRECTORY:
                raise _error(errno.ENOTDIR, path)
            if not inode.readable:
                raise _error(errno.EACCES, path)
            above, name = inode, part
            found = above.entries.get(name)
            inode = None if found is None else found.top
            if inode is not None and inode.kind is Kind.LINK:
                last = number == len(parts) - 1
                if last and not follow:
                    break
                if not links:
                    raise _error(errno.ELOOP, path)
                target = join(place, inode.content.decode())
                return self._find(join(target, *parts[number + 1 :]), follow, links - 1)
            place = join(place, part)
        return above, name, inode

    def _existing(self, path: str, follow: bool = True) -> tuple[SimInode, str, SimInode]:
        above, name, inode = self.find(path, follow)
        if inode is None:
            raise _error(errno.ENOENT, path)
        return above, name, inode

    def _check_file(self, path: str, inode: SimInode) -> None:
        if inode.kind is not Kind.FILE:
            raise _error(errno.EISDIR, path)


def _isdir(inode: SimInode) -> int:
    return ISDIR * (inode.kind is Kind.DIRECTORY)


def _parts(path: str) -> list[str]:
    return [part for part in normpath(join("/", path)).split("/") if part]


def _error(number: int, path: str) -> OSError:
    return OSError(number, os.strerror(number), path)
