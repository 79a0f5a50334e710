"""StoredFile: a file that is opened below a folder, to be sent to clients, as a source of events.

Tested in tests/conformance/test_stored_files.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol, TypeAlias

from vcproxy.engine.sources.source import PRIORITY, Source

if TYPE_CHECKING:
    from vcproxy.engine.continuation import Continuation

Refusal: TypeAlias = Literal["missing", "directory", "denied", "outside", "special", "failed"]
"""Why a file is not opened. directory: that is at the path; denied: the user of this process may
not read it; outside: a symlink leads out of the folder; special: a device, a FIFO or a socket."""


@dataclass(frozen=True, slots=True)
class FileOpened:
    """The file is open. What was at its path may be replaced now: this one is sent."""

    name: str
    found: int
    """Which of the paths it is, from 0."""
    size: int
    """Bytes."""
    modified_ns: int
    """When its content was changed last: nanoseconds since 1970."""


@dataclass(frozen=True, slots=True)
class FileRefused:
    """None of the paths is a file that can be opened. The reason is that of the last of them that
    is not missing."""

    name: str
    why: Refusal
    text: str
    """The reason in words."""


@dataclass(frozen=True, slots=True)
class FileFailed:
    """The file cannot be read, or it is shorter now than when it was opened."""

    name: str
    text: str
    """The reason in words."""


class FileHandle(Protocol):
    """What a driver has opened for a StoredFile."""

    def read(self, offset: int, size: int) -> bytes:
        """Return at most `size` bytes; b"": the file is not as long. Raises OSError."""


class StoredFile(Source):
    """A regular file below a folder, opened for reading.

    Events: FileOpened or FileRefused once; FileFailed if it cannot be sent later on. The first of
    `paths` that is a regular file is opened. They are relative to `folder`, and nothing outside of
    it is ever opened: each directory is opened in turn, symlinks are followed only as long as they
    lead to something below the folder, and absolute ones are not. The folder itself may be a
    symlink. Devices, FIFOs and sockets are never opened for reading.
    """

    __slots__ = ("folder", "handle", "paths")

    last: ClassVar[tuple[type, ...]] = (FileRefused,)

    def __init__(
        self,
        cont: Continuation,
        name: str,
        folder: str,
        paths: tuple[str, ...],
        priority: int = PRIORITY,
    ) -> None:
        """`paths`: at least one, without "." and "..". Raises ValueError for others."""
        for path in paths:
            if "\0" in path or not {"", ".", ".."}.isdisjoint(path.split("/")):
                raise ValueError(f"{name}: {path!r} is not a path below a folder")
        self.folder = folder
        self.paths = paths
        self.handle: FileHandle | None = None
        """What the driver has opened; None: nothing, also in a replay."""
        super().__init__(cont, name, priority)

    @property
    def request(self) -> str:
        """See Source."""
        return f"{super().request} {self.folder} {self.paths}"

    @property
    def detail(self) -> str:
        """See Source."""
        return f"{self.folder}/{self.paths[0]}"
