"""PathWatch: one path that is watched, and with `recursive` the directories below it.

Tested in tests/conformance/test_file_changes.py.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from vcproxy.drivers.watching import file_system as fs
from vcproxy.drivers.watching.file_system import Kind, reason
from vcproxy.drivers.watching.lookups import MAX_DEPTH, Lookup
from vcproxy.drivers.watching.masks import kinds_of, mask_of
from vcproxy.engine.sources.file_changes import ALWAYS, FileChanged, FileEvent, Watch

if TYPE_CHECKING:
    from vcproxy.drivers.watching.file_watcher import FileWatcher
    from vcproxy.drivers.watching.inodes import Inode

NOTHING = FileEvent(0)

LISTING = fs.OPEN | fs.ACCESS | fs.CLOSE_NOWRITE
"""What a scan causes itself: it is not watched before the scan is done."""


class PathWatch:
    """Reports what happens at one path."""

    __slots__ = ("_branches", "_directory_only", "_failed", "_follow", "_inode", "_kinds", "_known",
                 "_looked", "_lookup", "_mask", "_name", "_path", "_patterns", "_recursive",
                 "_report", "_scanning", "_there", "_watcher")  # fmt: skip

    def __init__(
        self,
        watcher: FileWatcher,
        name: str,
        asked: Watch,
        report: Callable[[FileChanged], None],
        looked: Callable[[], None],
    ) -> None:
        """`report` gets the events; `name` is that of their source.

        `looked` is called when something else may have been at the path, also for too short a time
        to be seen.
        """
        self._watcher = watcher
        self._name = name
        self._report = report
        self._looked = looked
        self._path = asked.path
        self._kinds = asked.kinds
        self._mask = mask_of(asked.kinds) & ~fs.SELF  # reported unless it is of the path itself
        self._follow = asked.follow
        self._directory_only = asked.directory_only
        self._recursive = asked.recursive
        self._patterns: list[tuple[str, FileEvent]] | None = None  # None: all entries
        if asked.pattern:
            self._patterns = [(asked.pattern, asked.kinds)]
        self._lookup: Lookup | None = None
        self._there: bool | None = None  # None: not looked yet
        self._inode: Inode | None = None
        self._branches: dict[str, Inode] | None = None  # directories below it, by "sub/"
        self._known: dict[str, dict[str, int]] | None = None  # see _repeats
        self._scanning: str | None = None  # the directory that is being scanned
        self._failed = False

    def begin(self) -> None:
        """Watch what is there now."""
        try:
            path = self._watcher.system.absolute(self._path)
        except OSError:
            self._fail("", "the working directory does not exist any more: use an absolute path")
            return
        if path.count("/") > MAX_DEPTH:
            self._fail("", f"it has more than {MAX_DEPTH} directories: use a shorter path")
            return
        self._lookup = self._watcher.lookups.depend(path, self)
        self._look(FileEvent.EXISTS)

    def extend(self, asked: Watch) -> None:
        """Report what a second `watch` asks for, too."""
        if self._patterns is not None or asked.pattern:
            self._patterns = self._patterns or [("*", self._kinds)]
            self._patterns.append((asked.pattern or "*", asked.kinds))
        self._kinds |= asked.kinds
        self._mask = mask_of(self._kinds) & ~fs.SELF
        self._recursive |= asked.recursive
        self._watch_more(FileEvent.EXISTS & asked.kinds)

    def close(self) -> None:
        """Stop watching."""
        self._leave()
        if self._lookup is not None:
            self._watcher.lookups.drop(self._lookup, self)
            self._lookup = None

    # -- what happens ------------------------------------------------------------------------

    def happened(self, mask: int, prefix: str, name: str) -> None:
        """Report a record about an entry, about the watched file, or about a directory below."""
        if self._known is not None and name and self._repeats(mask, prefix, name):
            return
        if self._recursive and mask & fs.ISDIR and mask & fs.NAMES:
            self._cut(f"{prefix}{name}/")
            if mask & fs.APPEARS:
                self._watcher.scan(self, f"{prefix}{name}/", FileEvent.CREATED)
        if not mask & self._mask or (prefix and not name):  # its own directory reports that too
            return
        kinds = kinds_of(mask)
        if self._patterns is None or self._matches(name, kinds):
            self._report(FileChanged(self._name, self._path, prefix + name, kinds, mask))

    def ended(self, mask: int, prefix: str) -> None:
        """What is watched, or a directory below it, is gone or unmounted."""
        if mask & fs.UNMOUNT:
            self._tell(prefix[:-1], FileEvent.UNMOUNTED, fs.UNMOUNT)
        if not prefix and self._lookup is not None:
            self._lookup.look()
        elif mask & (fs.UNMOUNT | fs.IGNORED):  # what else ends it, its own directory reports
            self._cut(prefix)
            if mask & fs.UNMOUNT:
                self._watcher.scan(self, prefix, FileEvent.CREATED)

    def look(self) -> None:
        """Something else may be at the path now."""
        self._looked()
        self._look(FileEvent.CREATED if self._recursive else FileEvent.EXISTS)

    def retry(self) -> None:
        """Watch what could not be watched, if that is possible now."""
        if self._inode is None and self._lookup is not None:
            self._lookup.look()

    def resume(self) -> None:
        """Events were lost: find out which directories there are below."""
        if self._recursive:
            self._watch_more(NOTHING)

    # -- directories below it ----------------------------------------------------------------

    def scan(self, prefix: str, told: FileEvent) -> Iterator[None]:
        """Watch a directory below it, or itself; report its entries as `told`, step by step.

        The directories in it are scanned afterwards.
        """
        end = self._end
        if end is None or self._inode is None or prefix in (self._branches or ()):
            return
        place = f"{end.place}/{prefix}".rstrip("/") or "/"
        self._scanning = prefix
        try:
            inode = self._watcher.inodes.watch(place, self._scan_mask, directory=True)
            if prefix:
                inode.listen(self, prefix)
                self._branches = self._branches or {}
                self._branches[prefix] = inode
            elif inode is not self._inode:  # it was replaced in this moment, which is reported
                self._watcher.inodes.release(inode)
                return
            yield from self._list(inode, place, prefix, told & self._kinds)
            self._watcher.inodes.widen(inode, place, self._whole_mask, directory=True)
        except (FileNotFoundError, NotADirectoryError):
            return  # it was replaced in this moment, which is reported
        except OSError as error:
            self._fail(prefix[:-1], reason(error))
            if error.errno == errno.ENOSPC:  # the rest would fail, too
                self._watcher.stop_scans(self)
        finally:
            self._scanning = None

    def _list(self, inode: Inode, place: str, prefix: str, told: FileEvent) -> Iterator[None]:
        """Report the entries of a watched directory."""
        watcher, known = self._watcher, dict[str, int]()
        if told:
            self._known = self._known or {}
            self._known[prefix] = known
        begun = watcher.handled
        for name, directory, number in watcher.system.entries(place):
            yield
            if inode is not (self._branches or {}).get(prefix, self._inode):
                return  # it has been moved away
            if watcher.handled != begun:  # the entry may be out of date
                number = 0 if name in known else watcher.system.number(f"{place}/{name}")
            if not number:
                continue
            if told:
                known[name] = number
            if told and (self._patterns is None or self._matches(name, told)):
                kinds = told | FileEvent.DIRECTORY if directory else told
                self._tell(prefix + name, kinds, fs.CREATE | fs.ISDIR * directory)
            if directory and self._recursive:
                watcher.scan(self, f"{prefix}{name}/", told)

    def scanned(self) -> None:
        """The kernel has reported all that happened before now."""
        known, self._known = self._known or {}, None
        if self._scanning in known:
            self._known = {self._scanning: known[self._scanning]}

    def _cut(self, prefix: str) -> None:
        """Stop watching the directories below it whose paths begin so."""
        branches = self._branches or {}
        for each in [each for each in branches if each.startswith(prefix)]:
            self._watcher.inodes.forget_listener(branches.pop(each), self, each)

    # -- inside ------------------------------------------------------------------------------

    @property
    def _end(self) -> Lookup | None:
        """Where the path leads; None: nowhere."""
        end = self._lookup.end if self._lookup and self._follow else self._lookup
        if end is None or (self._directory_only and end.kind is not Kind.DIRECTORY):
            return None
        return end if end.place else None

    @property
    def _whole_mask(self) -> int:
        return self._mask | fs.SELF | (fs.NAMES if self._recursive else 0)

    @property
    def _scan_mask(self) -> int:
        return (self._whole_mask | fs.NAMES) & ~LISTING

    def _scans(self, told: FileEvent) -> bool:
        end = self._end
        directory = end is not None and end.kind is Kind.DIRECTORY
        return directory and (self._recursive or bool(told & self._kinds))

    def _look(self, told: FileEvent) -> None:
        """Watch what is there now; `told`: how to report the entries of a directory."""
        last, was_there = self._inode, self._there
        inode = self._watch(self._scan_mask if self._scans(told) else self._whole_mask)
        if inode is last and was_there == self._there:
            return
        if inode is not last:
            self._leave()
            if inode is not None:
                inode.listen(self, "")
                self._inode = inode
        end = self._end
        if was_there is not None:
            moved = self._watcher.cause & (fs.MOVED_FROM | fs.MOVE_SELF)
            if was_there and not self._there:
                self._tell("", FileEvent.DELETED, fs.MOVE_SELF if moved else fs.DELETE_SELF)
            if last is not None:
                self._tell("", FileEvent.GONE, fs.IGNORED)
            if end is not None and self._there:
                directory = end.kind is Kind.DIRECTORY
                kinds = FileEvent.CREATED | FileEvent.DIRECTORY * directory
                self._tell("", kinds, fs.CREATE | fs.ISDIR * directory)
        if inode is not None and self._scans(told):
            self._watcher.scan(self, "", told)

    def _watch(self, mask: int) -> Inode | None:
        """Watch what is there; None: there is nothing, or it cannot be watched."""
        end = self._end
        self._there = end is not None
        if end is None:
            return None
        try:
            directory = end.kind is Kind.DIRECTORY
            inode = self._watcher.inodes.watch(end.place, mask, directory=directory)
        except (FileNotFoundError, NotADirectoryError):
            self._there = False  # it was replaced in this moment, which is reported
            return None
        except OSError as error:
            self._fail("", reason(error))
            return None
        self._failed = False
        return inode

    def _watch_more(self, told: FileEvent) -> None:
        """Watch for more than before."""
        if self._inode is None:
            self.retry()
        elif self._scans(told):
            self._cut("")
            self._watcher.scan(self, "", told)
        else:
            self._look(NOTHING)

    def _leave(self) -> None:
        self._cut("")
        self._known = None
        self._watcher.stop_scans(self)
        if self._inode is not None:
            self._watcher.inodes.forget_listener(self._inode, self, "")
            self._inode = None

    def _repeats(self, mask: int, prefix: str, name: str) -> bool:
        """Return whether a record tells what a scan has found already, or will find.

        `_known` has the names, with their inode numbers, in the directories that are being scanned,
        or were since the kernel's queue was empty: it may have records of earlier changes.
        """
        known = (self._known or {}).get(prefix)
        if known is None:
            return False
        if not mask & fs.NAMES:
            return name not in known  # the scan comes to it later
        if mask & fs.DISAPPEARS:
            return known.pop(name, None) is None
        end = self._end
        number = 0 if end is None else self._watcher.system.number(f"{end.place}/{prefix}{name}")
        if known.get(name) == number or (mask & fs.CREATE and name in known):
            return True
        known[name] = number
        return False

    def _matches(self, name: str, kinds: FileEvent) -> bool:
        """Return whether a pattern that was given with such a kind matches."""
        return any(
            kinds & asked & ~FileEvent.DIRECTORY and fnmatchcase(name, pattern)
            for pattern, asked in self._patterns or ()
        )

    def _tell(self, file: str, kinds: FileEvent, mask: int) -> None:
        """Report something that the kernel has not, if it was asked for."""
        if kinds & (self._kinds | ALWAYS) & ~FileEvent.DIRECTORY:
            self._report(FileChanged(self._name, self._path, file, kinds, mask))

    def _fail(self, file: str, why: str) -> None:
        """Report that the path, or a directory below it, cannot be watched."""
        changed = FileChanged(self._name, self._path, file, FileEvent.ERROR, 0, why)
        self._report(changed)
        if not self._failed:
            self._failed = True
            text = f"{self._name}: {changed.place} is not watched: {why}"
            self._watcher.log("warning", text)
