"""SimInode: a simulated file, directory or symlink, wherever it is.

Tested in tests/drivers/test_sim_files.py.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

from vcproxy.drivers.sim.files.queue import reported
from vcproxy.drivers.watching.file_system import (
    ATTRIB,
    CREATE,
    DELETE,
    DELETE_SELF,
    IGNORED,
    ISDIR,
    UNMOUNT,
    Kind,
)

if TYPE_CHECKING:
    from vcproxy.drivers.sim.files.queue import SimQueue


_NUMBERS = count(1)


class SimInode:
    """It may have several names (links), and it is freed with its last."""

    __slots__ = (
        "content",
        "entries",
        "kind",
        "links",
        "marks",
        "modified_ns",
        "mounted",
        "number",
        "readable",
    )

    def __init__(self, kind: Kind, content: bytes = b"") -> None:
        self.kind = kind
        self.number = next(_NUMBERS)
        self.content = content
        """Of a file its bytes, of a symlink its target."""
        self.modified_ns = 0
        """When its content was changed last: nanoseconds since 1970; 0: not known."""
        self.entries: dict[str, SimInode] = {}
        self.links = 1
        self.mounted: SimInode | None = None
        """The root of the file system that is mounted here."""
        self.readable = True
        self.marks: dict[SimQueue, tuple[int, int]] = {}
        """The watches of this inode: watch descriptor, mask."""

    @property
    def top(self) -> SimInode:
        """What is seen here: the root of what is mounted last."""
        return self if self.mounted is None else self.mounted.top

    def contains(self, other: SimInode) -> bool:
        """Return whether another is somewhere below it."""
        return any(each is other or each.contains(other) for each in self.entries.values())

    def mark(self, queue: SimQueue, mask: int, add: bool) -> int:
        """Watch it; return the watch descriptor."""
        wd, before = self.marks.get(queue) or (queue.new_wd(), 0)
        self.marks[queue] = wd, mask | before if add else mask
        queue.watches[wd] = self
        return wd

    def unmark(self, queue: SimQueue) -> None:
        """Watch it no longer."""
        wd, _ = self.marks.pop(queue)
        del queue.watches[wd]
        queue.put(wd, IGNORED, "")

    def happened(self, mask: int, parent: SimInode | None = None, name: str = "") -> None:
        """Report something that happened to it: to who watches `parent`, then to who watches it."""
        if self.kind is Kind.DIRECTORY:
            mask |= ISDIR
        if parent is not None:
            parent.report(mask, name)
        self.report(mask)

    def report(self, mask: int, name: str = "") -> None:
        """Report something to who watches it."""
        for queue, (wd, asked) in tuple(self.marks.items()):
            bits = reported(asked, mask)
            if bits:
                queue.put(wd, bits, name)

    # -- names -------------------------------------------------------------------------------

    def add(self, name: str, inode: SimInode, mask: int = CREATE) -> None:
        """Give an inode a name in this directory."""
        self.entries[name] = inode
        self.report(mask | ISDIR * (inode.kind is Kind.DIRECTORY), name)

    def remove(self, name: str) -> None:
        """Delete a name in this directory."""
        inode = self.entries.pop(name)
        if inode.kind is not Kind.DIRECTORY:
            inode.report(ATTRIB)  # the number of its links
        inode.unlinked()
        self.report(DELETE | ISDIR * (inode.kind is Kind.DIRECTORY), name)

    def unlinked(self) -> None:
        """It has one name less: it is freed with its last."""
        self.links -= 1
        if not self.links:
            self.report(DELETE_SELF)
            for queue in tuple(self.marks):
                self.unmark(queue)

    def unmounted(self) -> None:
        """Its file system is unmounted: everything in it is no longer watched."""
        for inode in self.entries.values():
            inode.unmounted()
        for queue, (wd, _) in tuple(self.marks.items()):
            queue.put(wd, UNMOUNT, "")
            self.unmark(queue)
