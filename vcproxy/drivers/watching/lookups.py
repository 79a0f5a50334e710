"""Lookups: where paths lead, looked up as the kernel does it, and again whenever that may change.

A path is a name in a directory, which has a path of its own. If the name is a symlink, the path
leads where another path leads. Each directory on the way is watched for its names, so that every
way of replacing what is at a path is noticed: a rename, a swapped symlink, a directory that is
replaced, an unmount. Tested in tests/conformance/test_file_changes.py.
"""

from __future__ import annotations

from posixpath import dirname, join, normpath
from typing import TYPE_CHECKING, Protocol

from vcproxy.drivers.watching.file_system import CREATE, NAMES, SELF, FileSystem, Kind

if TYPE_CHECKING:
    from vcproxy.drivers.watching.inodes import Inode, Inodes

MAX_LINKS = 40
"""Symlinks that the kernel follows in one path before it reports ELOOP."""

MAX_DEPTH = 100
"""Directories in a path: each is a call inside another, and Python allows 1000."""


class Dependent(Protocol):
    """What is concerned when a path may lead elsewhere."""

    def look(self) -> None:
        """Look again."""


class Lookup:
    """One path. It exists as long as something depends on it."""

    __slots__ = ("_above", "_busy", "_directory", "_lookups", "_target", "dependents", "kind",
                 "path", "place")  # fmt: skip

    def __init__(self, lookups: Lookups, path: str) -> None:
        self.path = path
        self.kind = Kind.NOTHING
        """What is there; a symlink is not followed."""
        self.place = ""
        """A path to it without symlinks on the way; "": there is nothing."""
        self.dependents: list[Dependent] = []
        self._lookups = lookups
        self._above: Lookup | None = None
        self._directory: Inode | None = None  # where its name is watched
        self._target: Lookup | None = None
        self._busy = False

    @property
    def end(self) -> Lookup | None:
        """The path to which symlinks lead; this one if it is none; None: they form a circle."""
        seen = self
        for _ in range(MAX_LINKS):
            if seen._target is None:
                return seen
            seen = seen._target
        return None

    def begin(self) -> None:
        """Look for the first time."""
        above = dirname(self.path)
        if above != self.path:
            self._above = self._lookups.depend(above, self)
        self._find()

    def look(self) -> None:
        """Look again, and let what depends on it do the same."""
        if self._busy:  # a circle of symlinks
            return
        self._busy = True
        self._find()
        for each in tuple(self.dependents):
            each.look()
        self._busy = False

    def look_above(self) -> None:
        """Look for its directory again."""
        (self._above or self).look()

    def close(self) -> None:
        """Forget it: nothing depends on it."""
        self._leave()
        for each in (self._target, self._above):
            if each is not None:
                self._lookups.drop(each, self)

    # -- inside ------------------------------------------------------------------------------

    def _find(self) -> None:
        last_target, self._target = self._target, None
        self.kind, self.place = Kind.NOTHING, ""
        if self._above is None:
            self.kind, self.place = Kind.DIRECTORY, self.path
        else:
            end = self._above.end
            self._find_in("" if end is None else end.place)
        if last_target is not None:
            self._lookups.drop(last_target, self)

    def _find_in(self, directory: str) -> None:
        if not directory:
            self._leave()
            return
        place = join(directory, self._name)
        self._watch(directory, NAMES & ~CREATE)
        kind = self._lookups.system.kind(place)
        if kind is Kind.NOTHING:  # only then: temporary files are created in many directories
            self._watch(directory, CREATE)
            kind = self._lookups.system.kind(place)
        if kind is Kind.LINK:
            self._follow(directory, place)
        if kind is not Kind.NOTHING:
            self.kind, self.place = kind, self.path if place == self.path else place

    def _follow(self, directory: str, place: str) -> None:
        try:
            target = normpath(join(directory, self._lookups.system.target(place)))
        except OSError:  # it was replaced in this moment, which is reported
            return
        if target.count("/") <= MAX_DEPTH:
            self._target = self._lookups.depend(target, self)

    @property
    def _name(self) -> str:
        return self.path[self.path.rindex("/") + 1 :]

    def _watch(self, directory: str, mask: int) -> None:
        """Watch the directory; where that is impossible, what is there is found all the same."""
        try:
            inode = self._lookups.inodes.watch(directory, mask | SELF, directory=True)
        except OSError:
            self._leave()
            return
        if inode is not self._directory:
            inode.add(self._name, self)
            self._leave()
            self._directory = inode

    def _leave(self) -> None:
        if self._directory is not None:
            self._lookups.inodes.forget_name(self._directory, self._name, self)
            self._directory = None


class Lookups:
    """All paths that are looked up, each once."""

    def __init__(self, system: FileSystem, inodes: Inodes) -> None:
        self.system = system
        self.inodes = inodes
        self._by_path: dict[str, Lookup] = {}

    def __len__(self) -> int:
        return len(self._by_path)

    def depend(self, path: str, dependent: Dependent) -> Lookup:
        """Return the look-up of a path; `dependent.look` is called when it may lead elsewhere."""
        found = self._by_path.get(path)
        if found is None:
            found = self._by_path[path] = Lookup(self, path)
            found.begin()
        found.dependents.append(dependent)
        return found

    def drop(self, lookup: Lookup, dependent: Dependent) -> None:
        """Undo `depend`. Symlinks in a circle depend on each other: they stay, each once."""
        lookup.dependents.remove(dependent)
        if not lookup.dependents:
            del self._by_path[lookup.path]
            lookup.close()

    def look(self) -> None:
        """Look up all paths again."""
        root = self._by_path.get("/")
        if root is not None:
            root.look()
