"""Digests of the content of real files.

Tested in tests/conformance/test_content_watch.py.
"""

from __future__ import annotations

import os
import stat

from vcproxy.engine.sources.content_watch import names_digest, new_digest

PIECE = 256 * 1024
"""Bytes read at once."""


def digests(paths: tuple[str, ...]) -> dict[str, str]:
    """Return the digest of each path as in ContentRead; "" for a device, a FIFO and so on, too."""
    return {path: _digest(path) for path in paths}


def _digest(path: str) -> str:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a FIFO must not block
    except OSError:
        return ""
    try:
        mode = os.fstat(fd).st_mode
        if stat.S_ISDIR(mode):
            return names_digest(os.listdir(fd))
        if not stat.S_ISREG(mode):
            return ""
        digest = new_digest()
        while piece := os.read(fd, PIECE):
            digest.update(piece)
        return digest.hexdigest()
    except OSError:  # of a network file system
        return ""
    finally:
        os.close(fd)
