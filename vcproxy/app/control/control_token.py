"""ControlToken: the secret that clients of the control send over TCP, in a file of mode 0600.

Tested in tests/e2e/test_http_control.py.
"""

from __future__ import annotations

import os
import re
import secrets
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

from vcproxy.app.control.runtime_directory import prepare_directory
from vcproxy.app.start import StartError

_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]{16,4096}=*")
"""A bearer token (RFC 6750 2.1), of at least 16 characters: it must not be guessed."""


class ControlToken:
    """A token, read from a file; where there is none, it is made first. Raises StartError."""

    def __init__(self, path: Path, *, own: bool, file: Path) -> None:
        """`own`: the file is of this process only, so it is replaced, and removed at the end;
        `file`: the configuration, for errors."""
        self._path = path
        self._own = own
        try:
            if own:
                prepare_directory()
                with suppress(FileNotFoundError):
                    path.unlink()  # of an older process with the same number
            self.text = self._read() if path.exists() else self._make()
        except (OSError, ValueError) as error:
            reason = (getattr(error, "strerror", None) or str(error)).lower()
            raise StartError(f"{file}: control.token_file: {path}: {reason}") from None

    def _make(self) -> str:
        token = secrets.token_urlsafe(32)
        # O_EXCL: never through a link, and never into a file that another user can read.
        fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "w", encoding="ascii") as file:
            os.fchmod(fd, 0o600)  # whatever the umask is
            file.write(token + "\n")
        return token

    def _read(self) -> str:
        with self._path.open(encoding="utf-8", errors="replace") as file:
            mode = os.fstat(file.fileno()).st_mode
            if mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise ValueError("others may read it: chmod 600")
            token = file.read(8192).strip()
        if not _TOKEN.fullmatch(token):
            raise ValueError(
                "it must have one token: at least 16 letters, digits and ._~+/-; remove it, and "
                "the proxy makes one"
            )
        return token

    def close(self) -> None:
        """Remove a file of this process."""
        if self._own:
            with suppress(OSError):
                self._path.unlink()
