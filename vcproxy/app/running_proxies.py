"""The proxies that run on this host, by the Unix sockets of their bus.

Tested in tests/app/test_signal_command.py.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class RunningProxy:
    """A proxy whose socket accepts connections."""

    pid: int
    socket: Path
    permitted: bool
    """Whether this user may connect to it."""


SYSTEM_FOLDER = Path("/run/vcproxy")


def socket_folders(environment: Mapping[str, str]) -> list[Path]:
    """Return the folders of the sockets `PID.sock` that `[control] bus = "unix"` makes.

    Those of the user and of the system, as the proxies of a service manager have no
    XDG_RUNTIME_DIR.
    """
    own = environment.get("XDG_RUNTIME_DIR", "")
    return [*([Path(own, "vcproxy")] if own else []), SYSTEM_FOLDER]


def running_proxies(folders: list[Path]) -> Iterator[RunningProxy]:
    """Yield the proxies that have a socket in these folders, by process number.

    Sockets whose proxy has been killed remain until the next start: nothing listens there.
    """
    sockets = {
        file for folder in folders for file in folder.glob("*.sock") if file.stem.isdecimal()
    }
    for file in sorted(sockets, key=lambda file: int(file.stem)):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as probe:
            try:
                probe.connect(os.fspath(file))
            except PermissionError:
                yield RunningProxy(int(file.stem), file, False)
            except BlockingIOError:  # its queue of connections is full
                yield RunningProxy(int(file.stem), file, True)
            except OSError:  # ECONNREFUSED, or the file was removed
                pass
            else:
                yield RunningProxy(int(file.stem), file, True)
