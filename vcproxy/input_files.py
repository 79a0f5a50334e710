"""Files that a configuration names, read whole: with a limit, and without waiting.

Tested in tests/test_input_files.py.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

MOST = 16 << 20
"""Bytes: far more than any list of authorities or users has."""


def read_file(path: Path, most: int = MOST) -> bytes:
    """Return the content of a file of at most that many bytes.

    A FIFO or a socket is refused: a reader would wait for a writer, and a reload reads again.

    Raises:
        OSError: it cannot be read; its `strerror` has the reason as plain text.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        mode = os.fstat(fd).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not (stat.S_ISREG(mode) or stat.S_ISCHR(mode)):
            raise OSError(errno.EINVAL, "it is a FIFO or a socket, not a file", str(path))
        content = bytearray()
        while piece := os.read(fd, most + 1 - len(content)):
            content += piece
    finally:
        os.close(fd)
    if len(content) > most:
        limit = f"{most >> 20}MiB" if most >> 20 else f"{most >> 10}KiB"
        raise OSError(errno.EFBIG, f"it is larger than {limit}", str(path))
    return bytes(content)
