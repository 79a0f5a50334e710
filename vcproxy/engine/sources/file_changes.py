"""FileChanges: what happens to files and directories, as a source of events.

The bits are those of the original's file events (eventdispatcher.md 5); Linux reports them by
inotify(7). Tested in tests/engine/sources/test_file_changes.py.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import IntFlag
from typing import TYPE_CHECKING, ClassVar

from vcproxy.engine.commands import UnwatchPath, WatchPath
from vcproxy.engine.sources.source import PRIORITY, Source

if TYPE_CHECKING:
    from vcproxy.engine.continuation import Continuation

SHOWN = 3
"""Paths that are shown in a list of sources."""


class FileEvent(IntFlag):
    """What happened, as bits: one event may have several. Also what `FileChanges.watch` asks for.

    LOST_SYNC, ERROR, GONE and UNMOUNTED are always delivered; DIRECTORY only says what kind of
    entry an event is about.
    """

    ATTRIBUTES = 0x1
    """Mode, owner, times or the number of links changed."""
    READ = 0x2
    """Some of the content was read."""
    WRITE = 0x4
    """Some of the content was written, or the file was truncated."""
    CREATED = 0x8
    """It is there now: created, moved to here, or found in a new directory (with `recursive`). A
    watched path that is replaced by a rename or by another target of its symlink is CREATED too."""
    DELETED = 0x10
    """It is no longer there: deleted, or moved away."""
    ACCESS = 0x20
    """It was opened or closed."""
    UPDATED = 0x40
    """It was closed after it had been opened for writing."""
    EXISTS = 0x80
    """It was there already when its directory was watched: one event for each match."""
    RECURSIVE = 0x100
    """Asks for the same as `recursive=True`."""
    LOST_SYNC = 0x400
    """The kernel's queue was full (fs.inotify.max_queued_events), or the source was disabled: an
    unknown number of events is missing. The path is "/"."""
    ERROR = 0x800
    """The path, or a directory below it, cannot be watched: see `reason`."""
    DIRECTORY = 0x1000
    """The entry is a directory."""
    GONE = 0x2000
    """The watched file or directory is gone: nothing of it is reported any more. The path is still
    watched: CREATED follows when there is something again."""
    UNMOUNTED = 0x4000
    """The file system of the watched path was unmounted. GONE follows."""
    IO = READ | WRITE
    ALL = ATTRIBUTES | IO | CREATED | DELETED | ACCESS


ALWAYS = FileEvent.LOST_SYNC | FileEvent.ERROR | FileEvent.GONE | FileEvent.UNMOUNTED
"""What is delivered although it was not asked for."""


@dataclass(slots=True)
class FileChanged:
    """Something happened to a watched path. Not frozen, because that takes three times as long."""

    name: str
    path: str
    """As it was given to `watch`; "/" for LOST_SYNC."""
    file: str
    """The entry of the directory, with `recursive` a path relative to `path`; "": `path` itself."""
    kinds: FileEvent
    mask: int = 0
    """The bits of inotify(7) that caused it."""
    reason: str = ""
    """For ERROR: what is wrong and what to do, in words that continue the path."""

    def __post_init__(self) -> None:
        """Make a FileEvent of what a recording has as a plain number."""
        if type(self.kinds) is not FileEvent:
            self.kinds = FileEvent(self.kinds)

    @property
    def place(self) -> str:
        """The path of the file or directory that it is about."""
        return f"{self.path.rstrip('/')}/{self.file}" if self.file else self.path


@dataclass(frozen=True, slots=True)
class Watch:
    """What `FileChanges.watch` was asked for."""

    path: str
    kinds: FileEvent
    pattern: str = ""
    recursive: bool = False
    follow: bool = True
    directory_only: bool = False

    @property
    def text(self) -> str:
        """Everything in it, on one line."""
        words = [f"{self.path!r} {int(self.kinds):#x}", repr(self.pattern) * bool(self.pattern)]
        words += [name for name in ("recursive", "follow", "directory_only") if getattr(self, name)]
        return " ".join(filter(None, words))


def check_path(path: str) -> None:
    """Raise ValueError for text that is no path on any system."""
    try:
        octets = path.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        octets = b""
    if not octets or b"\0" in octets:
        raise ValueError(f"{path!r} is not a path: name a file or a directory")


def shown_paths(paths: Collection[str]) -> str:
    """Return the first paths, and how many more there are."""
    first = ", ".join(list(paths)[:SHOWN])
    return f"{first} and {len(paths) - SHOWN} more" if len(paths) > SHOWN else first


class FileChanges(Source):
    """Files and directories, watched by their paths. The event: FileChanged.

    A path stays watched whatever happens to it. If there is nothing, its nearest existing parent
    is watched until there is; what was replaced by a rename, by another target of a symlink, or by
    an unmount, is watched in its new form. Not reported: a mount over a watched path, and changes
    that another host makes in a network file system.
    """

    __slots__ = ("paths",)

    at_once: ClassVar[type | None] = FileChanged

    def __init__(self, cont: Continuation, name: str, priority: int = PRIORITY) -> None:
        self.paths: dict[str, None] = {}
        """The watched paths."""
        super().__init__(cont, name, priority)

    @property
    def detail(self) -> str:
        """See Source."""
        return shown_paths(self.paths)

    def watch(
        self,
        path: str,
        kinds: FileEvent = FileEvent.ALL,
        *,
        pattern: str = "",
        recursive: bool = False,
        follow: bool = True,
        directory_only: bool = False,
    ) -> None:
        """Watch a path; a second call for the same path adds to the first.

        Args:
            path: a file or a directory, of which the entries are watched. Relative to the working
                directory of the process.
            kinds: the events to deliver. See FileEvent.
            pattern: deliver only events of entries whose name matches (fnmatch: "*.pem"). Several
                patterns for one directory: those of each, with their kinds.
            recursive: also watch its subdirectories, new ones too: their contents are reported as
                CREATED, without loss and without duplicates. Symlinks in it are not followed.
            follow: if the path is a symlink, watch its target; otherwise the symlink itself.
            directory_only: a file at this path counts as nothing.

        Raises ValueError for what is no path, and for kinds without an event. What cannot be
        watched is reported as ERROR; another call for the same path tries again.
        """
        check_path(path)
        if not kinds & (FileEvent.ALL | FileEvent.UPDATED | FileEvent.EXISTS):
            raise ValueError(f"{path}: {kinds!r} contains no event: use FileEvent.ALL, for example")
        recursive = recursive or FileEvent.RECURSIVE in kinds
        if self.cont is not None:
            asked = Watch(path, kinds, pattern, recursive, follow, directory_only)
            self.paths[path] = None
            self.engine.command(WatchPath(self, asked))

    def unwatch(self, path: str) -> None:
        """Stop watching a path. Events that are on their way may still be delivered."""
        if self.cont is not None:
            self.paths.pop(path, None)
            self.engine.command(UnwatchPath(self, path))
