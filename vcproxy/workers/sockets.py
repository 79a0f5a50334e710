"""ListeningSockets: the sockets of all addresses, which the master makes, keeps and hands on.

A TCP or UDP address has one socket for each worker, among which the kernel divides the clients
(SO_REUSEPORT). All workers share the socket of a Unix address: AF_UNIX has no such option. An
address of a listener that runs in worker 1 only has one socket. The master keeps all sockets open.
So if a worker dies, the connections that wait in its socket are served by its successor.
All workers share a socket that a service manager has bound.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vcproxy.config.workers import only_in_worker_1
from vcproxy.drivers.epoll.accepting import bind
from vcproxy.drivers.epoll.datagram import bound
from vcproxy.drivers.epoll.unix_socket import set_permissions
from vcproxy.engine.address import STANDARD, UNIX, Address
from vcproxy.listeners.plan import Place, addresses_of, place_of

if TYPE_CHECKING:
    from vcproxy.config.loader import Configuration

OWN = (*STANDARD, "fifo")
"""The schemes that worker 1 opens itself."""

HandedOn = tuple[str, Address, socket.socket]
"""A socket for a worker. The name is that of the listener, or "" if its address is enough."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """An address of a configuration."""

    name: str
    """The name of its listener."""
    address: Address
    workers: tuple[int, ...]
    """The workers that listen there."""


@dataclass(slots=True)
class Group:
    """The sockets of one address, by worker."""

    name: str
    real: Address
    """The bound address, with the real port instead of 0."""
    sockets: dict[int, socket.socket]
    inode: int = 0
    """The inode of the file of a Unix socket that was bound here; 0: no socket file was made."""
    shared: bool = False
    """Whether all sockets are descriptors of one socket."""


@dataclass(frozen=True, slots=True)
class Change:
    """What a configuration needs: nothing in use is changed before `ListeningSockets.adopt`."""

    wanted: dict[Place, Wanted]
    made: dict[Place, Group] = field(default_factory=dict)
    """New sockets. The Group of a Unix address whose file was removed replaces the one before."""
    warnings: list[str] = field(default_factory=list)
    """What could not be changed, with the listener and the reason: addresses that could not be
    bound again, or whose files cannot get their mode, owner and group."""


class ListeningSockets:
    """The listening sockets of a master process."""

    def __init__(
        self, workers: int, activated: Mapping[Place, socket.socket] | None = None
    ) -> None:
        """`activated`: sockets that a service manager has bound. All workers share each of them."""
        self._workers = workers
        self._activated = dict(activated or {})
        self._groups: dict[Place, Group] = {}

    def prepare(self, configuration: Configuration) -> Change:
        """Make the sockets that are missing.

        Raises OSError, with the listener in its text, if an address cannot be bound.
        """
        change = Change(dict(_wanted(configuration, self._workers)))
        for place, wanted in change.wanted.items():
            try:
                made = self._make(place, wanted)
            except OSError as error:
                if wanted.address.scheme in UNIX and place in self._groups:
                    reason = (error.strerror or str(error)).lower()
                    at = f"cannot listen at {wanted.address} again: {reason}"
                    change.warnings.append(f"{wanted.name}: {at}")
                    continue
                self.drop(change)
                from vcproxy.listeners.bind_failure import bind_failure  # few starts need it

                where = f"{configuration.file}: listener.{wanted.name}"
                raise OSError(f"{where}: {bind_failure(wanted.address, error)}") from error
            if made is not None:
                change.made[place] = made
        return change

    def _make(self, place: Place, wanted: Wanted) -> Group | None:
        """Return new sockets for the workers that have none; None: every worker has one."""
        address, group = wanted.address, self._groups.get(place)
        if group is not None and group.inode and not _is_file_of(group):
            group = None
        present = {} if group is None else group.sockets
        missing = [worker for worker in wanted.workers if worker not in present]
        if not missing:
            return None
        given = self._activated.pop(place, None)
        if given is not None:
            with given:
                return _activated(wanted, missing, given)
        if group is not None and group.shared:
            return _shared(wanted, missing, next(iter(present.values())))
        if address.scheme in UNIX:
            with bind(address) as sock:
                made = _shared(wanted, missing, sock)
            made.inode = os.stat(address.path).st_ino
            return made
        made = Group(wanted.name, address if group is None else group.real, {})
        try:
            for worker in missing:
                sock = _open(made.real, first=not (present or made.sockets))
                made.sockets[worker] = sock
                made.real = address.with_port(sock.getsockname()[1])
        except OSError:
            _close(made)
            raise
        return made

    def adopt(self, change: Change) -> list[tuple[str, Address]]:
        """Keep what a configuration needs, and close the rest. What fails is added to the warnings
        of the change.

        Return name and address of each listener that is at a new address, or under a new name at
        its address.
        """
        announced: list[tuple[str, Address]] = []
        for place in self._groups.keys() - change.wanted.keys():
            _close(self._groups.pop(place))
        for place, wanted in change.wanted.items():
            group, made = self._groups.get(place), change.made.get(place)
            if group is None:
                assert made is not None
                group = self._groups[place] = made
                announced.append((wanted.name, group.real))
            elif made is not None and made.inode:
                _close(group)
                group = self._groups[place] = made
            elif made is not None:
                group.sockets.update(made.sockets)
            if group.inode and group.real.file != wanted.address.file:
                group.real = wanted.address
                try:
                    set_permissions(wanted.address)
                except OSError as error:
                    why = (error.strerror or str(error)).lower()
                    at = f"cannot set mode, owner and group of {wanted.address}: {why}"
                    change.warnings.append(f"{wanted.name}: {at}")
            if group.name != wanted.name:
                group.name = wanted.name
                announced.append((wanted.name, group.real))
            for worker in group.sockets.keys() - set(wanted.workers):
                group.sockets.pop(worker).close()
        return announced

    def drop(self, change: Change) -> None:
        """Close the new sockets of a change that is not adopted."""
        for group in change.made.values():
            _close(group)

    def of(self, worker: int) -> list[HandedOn]:
        """Return the sockets of a worker."""
        return _handed_on(self._groups, worker)

    def close_streams(self) -> None:
        """Close the sockets of streams: further clients are refused.

        The sockets of datagrams stay open: if one were closed, the kernel would send datagrams of
        other workers' clients to another worker.
        """
        for place, group in list(self._groups.items()):
            if not group.real.subscribed:
                _close(self._groups.pop(place))

    def drain(self, name: str) -> None:
        """Close the sockets of streams of a [[listener]], "": of all, until the next `prepare`."""
        for place, group in list(self._groups.items()):
            if not group.real.subscribed and name in ("", group.name.partition(".")[0]):
                _close(self._groups.pop(place))

    def close(self) -> None:
        """Close all sockets."""
        while self._groups:
            _close(self._groups.popitem()[1])


def new_sockets(change: Change, worker: int) -> list[HandedOn]:
    """Return the sockets of a change for one worker."""
    return _handed_on(change.made, worker)


def _handed_on(groups: dict[Place, Group], worker: int) -> list[HandedOn]:
    return [
        ("", place, group.sockets[worker])
        if isinstance(place, Address)
        else (*place, group.sockets[worker])
        for place, group in groups.items()
        if worker in group.sockets
    ]


def _wanted(configuration: Configuration, workers: int) -> Iterator[tuple[Place, Wanted]]:
    single = only_in_worker_1(configuration)
    for entry in configuration.settings.listener:
        numbers = (1,) if entry.name in single else tuple(range(1, workers + 1))
        for name, address in addresses_of(entry, configuration.plugins[entry.name]):
            if address.scheme not in OWN:
                yield place_of(name, address), Wanted(name, address, numbers)


def _shared(wanted: Wanted, workers: list[int], sock: socket.socket) -> Group:
    """Return descriptors of one socket for some workers."""
    sockets = {worker: sock.dup() for worker in workers}
    return Group(wanted.name, wanted.address, sockets, shared=True)


def _activated(wanted: Wanted, workers: list[int], sock: socket.socket) -> Group:
    """Return descriptors of an activated socket for some workers. Raises OSError."""
    if wanted.address.subscribed and len(workers) > 1:
        raise OSError("workers cannot share an inherited socket of datagrams: use one worker")
    return _shared(wanted, workers, sock)


def _open(address: Address, first: bool) -> socket.socket:
    if address.multicast:
        return bound(address)
    kind = bound if address.scheme == "udp" else bind
    return kind(address, "first" if first else "further")


def _is_file_of(group: Group) -> bool:
    try:
        return os.stat(group.real.path).st_ino == group.inode
    except OSError:
        return False


def _close(group: Group) -> None:
    """Close the sockets; remove a Unix socket's file, unless another process has replaced it."""
    if group.inode and _is_file_of(group):
        with suppress(OSError):  # already removed
            os.unlink(group.real.path)
    for sock in group.sockets.values():
        sock.close()
    group.sockets.clear()
