"""The proxies that run on this host, by the Unix sockets of their bus.

Tested in tests/app/commands/test_signal_command.py.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path

from vcproxy.app.control.runtime_directory import RUN, runtime_directory


@dataclass(frozen=True)
class RunningProxy:
    """A proxy whose socket accepts connections."""

    pid: int
    socket: Path
    permitted: bool
    """Whether this user may connect to it."""


def socket_folders() -> list[Path]:
    """Return the folders of the control sockets `PID.sock`: of this user, then of the system.

    The proxies of a service manager have no XDG_RUNTIME_DIR.
    """
    return list(dict.fromkeys([runtime_directory(), RUN / "vcproxy"]))


def running_proxies(
    folders: list[Path], pid: int | None = None, *, suffix: str = ".sock"
) -> list[RunningProxy]:
    """Return the proxies that have a socket in the first of these folders that has any.

    They are sorted by process number. `pid`: only this one; `suffix`: of the names of the sockets,
    behind the process number.
    """
    for folder in folders:
        sockets = {}
        for file in folder.glob(f"*{suffix}"):
            number = file.name.removesuffix(suffix)
            if number.isdecimal() and pid in (None, int(number)) and _is_running(int(number)):
                sockets[int(number)] = file
        if len(sockets) == 1:  # not connected to: the door of a proxy accepts few connections
            [(own, file)] = sockets.items()
            return [RunningProxy(own, file, os.access(file, os.W_OK))]
        probed = [_probed(number, file) for number, file in sorted(sockets.items())]
        if found := [each for each in probed if each is not None]:
            return found
    return []


def _is_running(pid: int) -> bool:
    """Return whether there is a process with this number: a killed proxy has left its socket."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return True


def _probed(pid: int, file: Path) -> RunningProxy | None:
    """Connect to a socket; return its proxy, None if nothing listens: its number is used again."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as probe:
        try:
            probe.connect(os.fspath(file))
        except PermissionError:
            return RunningProxy(pid, file, False)
        except BlockingIOError:  # its queue of connections is full
            pass
        except OSError:  # ECONNREFUSED, or the file was removed
            return None
        return RunningProxy(pid, file, True)
