"""ContentWatch: a set of files whose content is compared, as a source of events.

Tested in tests/engine/sources/test_content_watch.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING

from vcproxy.engine.commands import WatchContent
from vcproxy.engine.sources.file_changes import check_path, shown_paths
from vcproxy.engine.sources.source import PRIORITY, Source

if TYPE_CHECKING:
    from vcproxy.engine.continuation import Continuation

QUIET_S = 0.2
"""How long nothing must have happened to the files before they are read: programs that replace
several files, such as a certificate and its key, need a few milliseconds between them."""


def new_digest(data: bytes = b"") -> blake2b:
    """Return the digest of a first piece of content, to be updated with the rest."""
    return blake2b(data, digest_size=16)


def content_digest(data: bytes) -> str:
    """Return the digest of the content of a file, as in ContentRead: 32 hexadecimal digits."""
    return new_digest(data).hexdigest()


def names_digest(names: Iterable[str]) -> str:
    """Return the digest of a directory, as in ContentRead, by the names of what is in it."""
    return content_digest("\0".join(sorted(names)).encode("utf-8", "surrogateescape"))


@dataclass(frozen=True, slots=True)
class ContentRead:
    """All files were read for the first time since `watch`: each later change is reported."""

    name: str
    digests: dict[str, str]
    """`content_digest` of each path, `names_digest` of a directory; "": it is not there, or cannot
    be read."""


@dataclass(frozen=True, slots=True)
class ContentChanged:
    """The content of files is another than when they were read last."""

    name: str
    paths: tuple[str, ...]
    """Those that changed, in the order of the watch; also one that has vanished or is back."""


class ContentWatch(Source):
    """Files that are read again when something happened to them. Of a directory the names of its
    entries count, not their content.

    Events: ContentRead once after each `watch`, then ContentChanged for each change of content,
    after nothing has happened for `quiet_s`. Touching a file or writing the same again is no
    change. It does not matter how a file is replaced: written in place, renamed, deleted and
    created, or behind a symlink that gets another target, as in Kubernetes. Where nothing can be
    watched, the files are read every 10 s, and a line in the log says why.

    Read the files when an event comes. What happens to them in the next second (5 times `quiet_s`)
    is reported in any case, as another content may have been read than the last. Who has read them
    earlier must compare `content_digest` of that with ContentRead.
    """

    __slots__ = ("paths", "quiet_s")

    def __init__(
        self,
        cont: Continuation,
        name: str,
        paths: Iterable[str],
        *,
        quiet_s: float = QUIET_S,
        priority: int = PRIORITY,
    ) -> None:
        """See `watch` for `paths`. Raises ValueError for what is no path."""
        self.paths = _checked(paths)
        """The watched files."""
        self.quiet_s = quiet_s
        super().__init__(cont, name, priority)

    @property
    def request(self) -> str:
        """See Source."""
        return f"{super().request} {self.paths}"

    @property
    def detail(self) -> str:
        """See Source."""
        return shown_paths(self.paths)

    def watch(self, paths: Iterable[str]) -> None:
        """Watch these files from now on, and no others; ContentRead follows.

        Raises ValueError for what is no path.
        """
        self.paths = _checked(paths)
        if self.cont is not None:
            self.engine.command(WatchContent(self, self.paths))


def _checked(paths: Iterable[str]) -> tuple[str, ...]:
    """Return each path once. Raises ValueError for what is no path."""
    once = tuple(dict.fromkeys(paths))
    for path in once:
        check_path(path)
    return once
