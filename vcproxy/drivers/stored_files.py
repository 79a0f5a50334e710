"""The search for a file below a folder, on real and on simulated files.

Tested in tests/conformance/test_stored_files.py.
"""

from __future__ import annotations

import errno
import os
import stat
from collections import deque
from typing import NamedTuple, Protocol

from vcproxy.engine.sources.stored_file import Refusal

MAX_LINKS = 40
"""Symlinks in one path: as many as Linux follows (path_resolution(7))."""

_REFUSALS: dict[int, Refusal] = {
    errno.ENOENT: "missing",
    errno.ENOTDIR: "missing",
    errno.ENAMETOOLONG: "missing",
    errno.EILSEQ: "missing",
    errno.EACCES: "denied",
    errno.EPERM: "denied",
    errno.EXDEV: "outside",
}


class Node(Protocol):
    """A file, directory or symlink, held open while it is looked at."""

    @property
    def mode(self) -> int:
        """Its `st_mode`."""

    def child(self, name: str) -> Node:
        """Return what has this name in the directory, without following it. Raises OSError."""

    def target(self) -> str:
        """Return the target of the symlink. Raises OSError."""

    def close(self) -> None:
        """Let go of it."""


class Found(NamedTuple):
    """A regular file that was found."""

    number: int
    """Which of the paths it is."""
    above: Node
    """Its directory, still open."""
    name: str


class Refused(Exception):
    """None of the paths is a regular file that may be opened."""

    def __init__(self, why: Refusal, text: str) -> None:
        super().__init__(text)
        self.why = why


def find_file(top: Node, paths: tuple[str, ...]) -> Found:
    """Return the first of the paths below `top` that is a regular file. Raises Refused.

    `top` and all that was opened are closed, except the directory in the result.
    """
    refused = Refused("missing", os.strerror(errno.ENOENT).lower())
    for index, path in enumerate(paths):
        try:
            above, name = _walk(top, path)
        except OSError as error:
            why, text = refusal(error)
            if why != "missing":
                refused = Refused(why, text)
        except Refused as reason:
            refused = reason
        else:
            if above is not top:
                top.close()
            return Found(index, above, name)
    top.close()
    raise refused


def _walk(top: Node, path: str) -> tuple[Node, str]:
    """Return the directory and the name of the regular file at a path. Raises OSError, Refused."""
    open_nodes = [top]
    parts = deque(path.split("/"))
    links = 0
    try:
        while parts:
            name = parts.popleft()
            if name in ("", "."):
                continue
            if name == "..":  # of a symlink: a path has none
                if len(open_nodes) == 1:
                    raise OSError(errno.EXDEV, "")
                open_nodes.pop().close()
                continue
            node = open_nodes[-1].child(name)
            mode = node.mode
            if stat.S_ISDIR(mode):
                open_nodes.append(node)
                continue
            try:
                if stat.S_ISLNK(mode):
                    links += 1
                    if links > MAX_LINKS:
                        raise OSError(errno.ELOOP, "")
                    target = node.target()
                    if target.startswith("/"):
                        raise OSError(errno.EXDEV, "")
                    parts.extendleft(reversed(target.split("/")))
                    continue
            finally:
                node.close()
            if any(parts):
                raise OSError(errno.ENOTDIR, "")
            if not stat.S_ISREG(mode):
                raise Refused("special", "a device, a FIFO or a socket")
            above = open_nodes.pop()
            return above, name
        raise Refused("directory", "a directory")
    finally:
        for each in open_nodes[1:]:
            each.close()


def refusal(error: OSError) -> tuple[Refusal, str]:
    """Return why a file cannot be opened, and the reason in words."""
    number = error.errno or 0
    if number == errno.EXDEV:
        return "outside", "a symlink leads out of the folder, or is absolute"
    return _REFUSALS.get(number, "failed"), os.strerror(number).lower()
