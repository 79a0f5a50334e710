"""The directory of the control sockets that no configuration names, and its stale sockets.

Tested in tests/app/control/test_runtime_directory.py.
"""

from __future__ import annotations

import os
import socket
import stat
from contextlib import suppress
from pathlib import Path

RUN = Path("/run")
"""The directory for sockets of the system (hier(7)), which root and service managers can write."""


def runtime_directory() -> Path:
    """Return the directory: below $XDG_RUNTIME_DIR, which login sessions have, or below /run."""
    session = Path(os.environ.get("XDG_RUNTIME_DIR", ""))
    return (session if session.is_absolute() else RUN) / "vcproxy"


def control_socket(pid: int) -> Path:
    """Return the default control socket of a process."""
    return runtime_directory() / f"{pid}.sock"


def http_socket(pid: int) -> Path:
    """Return the default control socket of a process for HTTP."""
    return runtime_directory() / f"{pid}.ctl.sock"


def token_path(pid: int) -> Path:
    """Return the file with the token of a process, for its control over TCP."""
    return runtime_directory() / f"{pid}.token"


def prepare_directory() -> None:
    """Make the directory, if it is missing, and remove the sockets of processes that have ended.

    Raises OSError, also if another user could put sockets there.
    """
    directory = runtime_directory()
    with suppress(FileExistsError):
        directory.mkdir(0o755)
    status = directory.lstat()
    if not stat.S_ISDIR(status.st_mode):
        raise NotADirectoryError(f"{directory} is not a directory")
    if status.st_uid not in (0, os.geteuid()) or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise PermissionError(f"another user can write to {directory}")
    for file in (*directory.glob("*.sock"), *directory.glob("*.token")):
        pid = file.name.partition(".")[0]
        if pid.isdecimal() and _stale(file, int(pid)):
            with suppress(OSError):  # of another user, or removed already
                file.unlink()


def _stale(file: Path, pid: int) -> bool:
    """Whether the process of a socket, or of a token, has ended.

    Two conditions: the process may be in another container, and a socket that was just bound does
    not listen yet.
    """
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        pass
    except (OSError, OverflowError):
        return False
    else:
        return False
    if file.suffix == ".token":
        return not file.with_suffix(".sock").exists()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as probe:
        try:
            probe.connect(str(file))
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
    return False
