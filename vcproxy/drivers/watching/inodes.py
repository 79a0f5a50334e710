"""Inodes: the files and directories that one instance of inotify watches, by watch descriptor.

Tested in tests/conformance/test_file_changes.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from vcproxy.drivers.watching.file_system import (
    DONT_FOLLOW,
    EXCL_UNLINK,
    MASK_ADD,
    ONLYDIR,
    FileSystem,
)

if TYPE_CHECKING:
    from vcproxy.drivers.watching.lookups import Lookup
    from vcproxy.drivers.watching.path_watch import PathWatch

Listener: TypeAlias = "tuple[PathWatch, str]"
"""Who gets the records, and the path of the directory relative to what it watches: "", "sub/"."""


class Inode:
    """A file or directory that is watched, wherever it is. It is used as long as it has names or
    listeners."""

    __slots__ = ("listeners", "names", "wd")

    def __init__(self, wd: int) -> None:
        self.wd = wd
        """The watch descriptor; -1: the kernel watches it no longer."""
        self.listeners: tuple[Listener, ...] = ()
        self.names: dict[str, list[Lookup]] = {}
        """Of a directory: whom to notify when a name in it means something else."""

    def add(self, name: str, lookup: Lookup) -> None:
        """Let a look-up know what happens to a name."""
        self.names.setdefault(name, []).append(lookup)

    def listen(self, watch: PathWatch, prefix: str) -> None:
        """Let a watch have the records."""
        if (watch, prefix) not in self.listeners:
            self.listeners += ((watch, prefix),)


class Inodes:
    """What one instance of inotify watches."""

    def __init__(self, system: FileSystem) -> None:
        self.by_wd: dict[int, Inode] = {}
        self._system = system

    def watch(self, path: str, mask: int, *, directory: bool = False) -> Inode:
        """Watch what is at a path, itself and not the target of a symlink, for these bits too.

        Return the same object for the same file or directory. Raises OSError.
        """
        flags = MASK_ADD | EXCL_UNLINK | DONT_FOLLOW | (ONLYDIR if directory else 0)
        wd = self._system.add_watch(path, mask | flags)
        found = self.by_wd.get(wd)
        if found is None:
            found = self.by_wd[wd] = Inode(wd)
        return found

    def widen(self, inode: Inode, path: str, mask: int, *, directory: bool = False) -> None:
        """Watch an inode for these bits too, if it is still at this path. Raises OSError."""
        found = self.watch(path, mask, directory=directory)
        if found is not inode:
            self.release(found)

    def ended(self, inode: Inode) -> None:
        """The kernel watches it no longer."""
        self.by_wd.pop(inode.wd, None)
        inode.wd = -1

    def forget_name(self, inode: Inode, name: str, lookup: Lookup) -> None:
        """Undo `Inode.add`."""
        lookups = inode.names[name]
        lookups.remove(lookup)
        if not lookups:
            del inode.names[name]
            self.release(inode)

    def forget_listener(self, inode: Inode, watch: PathWatch, prefix: str) -> None:
        """Undo `Inode.listen`."""
        inode.listeners = tuple(each for each in inode.listeners if each != (watch, prefix))
        self.release(inode)

    def release(self, inode: Inode) -> None:
        """Watch it no longer, unless it has names or listeners."""
        if inode.wd >= 0 and not inode.names and not inode.listeners:
            del self.by_wd[inode.wd]
            self._system.remove_watch(inode.wd)
            inode.wd = -1
