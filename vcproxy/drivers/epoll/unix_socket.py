"""Unix sockets of the epoll driver: binding them to a path, with the mode, owner and group of an
address.

Tested in tests/drivers/test_epoll_unix.py and tests/conformance/test_unix_datagrams.py.
"""

from __future__ import annotations

import grp
import os
import pwd
import socket
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from vcproxy.engine.address import Address

KINDS = {
    "unix": socket.SOCK_STREAM,
    "unixgram": socket.SOCK_DGRAM,
    "unixpacket": socket.SOCK_SEQPACKET,
}
"""The types of the sockets, by scheme."""

UNCHANGED = -1
"""For chown(2): the owner or the group stays."""


def bound_unix(address: Address) -> socket.socket:
    """Return a non-blocking socket bound to the path of an address. Raises OSError.

    A socket file whose process has ended is replaced; one that is in use is not. Mode, owner and
    group are set before a peer can use the file.
    """
    kind = KINDS[address.scheme]
    _remove_stale(address.path, kind)
    sock = socket.socket(socket.AF_UNIX, kind | socket.SOCK_NONBLOCK)
    try:
        if address.file:
            owners(address)  # a wrong name is an error before there is a file
            os.fchmod(sock.fileno(), 0)  # bind(2) makes the file with the mode of the socket
        sock.bind(address.path)
        try:
            set_permissions(address, default=0o777 & ~_umask())
        except OSError:
            os.unlink(address.path)
            raise
    except OSError:
        sock.close()
        raise
    return sock


def owners(address: Address) -> tuple[int, int]:
    """Return the user and the group of an address's file, as numbers; -1: it has none. Raises
    OSError for a name that does not exist."""
    return (
        _number(address.parameter("owner"), "user", lambda name: pwd.getpwnam(name).pw_uid),
        _number(address.parameter("group"), "group", lambda name: grp.getgrnam(name).gr_gid),
    )


def _number(name: str, what: str, find: Callable[[str], int]) -> int:
    if not name or name.isdecimal():
        return int(name or UNCHANGED)
    try:
        return find(name)
    except KeyError:
        raise OSError(f'there is no {what} "{name}"') from None


def set_permissions(address: Address, default: int = 0) -> None:
    """Set mode, owner and group of an address's file. Raises OSError.

    `default`: the mode if the address has none; 0: it stays.
    """
    if not address.file:
        return
    user, group = owners(address)
    if (user, group) != (UNCHANGED, UNCHANGED):
        try:
            os.chown(address.path, user, group)
        except PermissionError:
            raise PermissionError(
                "only root can give a file to another user, or to a group of which this user is "
                "no member"
            ) from None
    mode = address.parameter("mode")
    if mode or default:
        os.chmod(address.path, int(mode, 8) if mode else default)


def _umask() -> int:
    """Return the umask of this process (proc(5)); umask(2) would change it for all threads."""
    with open("/proc/self/status", encoding="ascii", errors="replace") as status:
        for line in status:
            name, _, value = line.partition(":")
            if name == "Umask":
                return int(value, 8)
    return 0o022


def _remove_stale(path: str, kind: int) -> None:
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            return  # another kind of file: bind() fails, "address already in use"
    except FileNotFoundError:
        return
    # A blocking connect would wait while a live server's backlog is full.
    with socket.socket(socket.AF_UNIX, kind | socket.SOCK_NONBLOCK) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
        except OSError:
            return


class SocketFile:
    """The file of a socket that was bound here. It may be replaced by another process later."""

    __slots__ = ("_inode", "_path")

    def __init__(self, path: str) -> None:
        """Raises OSError."""
        self._path = path
        self._inode = os.stat(path).st_ino

    @property
    def present(self) -> bool:
        """Whether the file exists and is the one of this socket."""
        try:
            return os.stat(self._path).st_ino == self._inode
        except OSError:
            return False

    def remove(self) -> None:
        """Remove it, unless another process has replaced it."""
        if self.present:
            with suppress(OSError):  # already removed
                os.unlink(self._path)


def shown(place: object) -> str:
    """Return the address of a Unix socket as text: a path; "@" and a name, in the abstract
    namespace; "": it is not bound."""
    if isinstance(place, bytes):  # Python's form of the abstract namespace: a NUL, then the name
        return "@" + place[1:].decode("utf-8", "replace")
    return place if isinstance(place, str) else ""


def sockaddr(shown: str) -> str:
    """Return the address for a system call. See `shown`."""
    return "\0" + shown[1:] if shown.startswith("@") else shown
