"""Registry: which processes a machine server has started, and which machine is at which address.

It is what `list` shows. A machine registers itself, since only it knows the port that the kernel
has assigned to it; it is believed only about processes that the server has started itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from vcproxy.bus.mailbox.peer import Peer

LIST_LIMIT = 65_507 - 8
"""Bytes in a list: what a UDP datagram over IPv4 can carry, without the number of the message."""

ENDED_S = 60.0
"""How long a request of a machine that was killed may still arrive, in seconds. Far above what a
network delays a datagram by."""


@dataclass(frozen=True, slots=True)
class Registration:
    """A machine at its address."""

    address: Peer
    pid: int
    name: str


class Registry:
    """The processes of one server, by pid, and its registered machines, by address."""

    def __init__(self) -> None:
        self._names: dict[int, str] = {}  # of the running processes
        self._at: dict[Peer, Registration] = {}
        self._of: dict[int, Registration] = {}  # the same ones, by pid
        self._ended_at: dict[Peer, float] = {}  # those that have ended lately, in that order

    def __len__(self) -> int:
        return len(self._at)

    def started(self, pid: int, name: str) -> None:
        """Add a process that the server has started."""
        self._names[pid] = name

    def ended(self, pid: int, now: float) -> None:
        """Remove a process that has ended, and its registration."""
        self._names.pop(pid, None)
        found = self._of.get(pid)
        if found is not None:
            self.unregister(found.address)
            self._ended_at.pop(found.address, None)
            self._ended_at[found.address] = now
        while self._ended_at and next(iter(self._ended_at.values())) < now - ENDED_S:
            del self._ended_at[next(iter(self._ended_at))]

    def has_ended(self, address: Peer, now: float) -> bool:
        """Return whether a machine at an address has ended in the last ENDED_S, without having
        unregistered itself: a message from there may be one that it has sent before."""
        return self._ended_at.get(address, -ENDED_S) > now - ENDED_S

    def register(self, address: Peer, pid: int) -> Registration:
        """Register the machine of a process at an address, in place of any other there.

        Its name is the one that it was started with. Raises ValueError with the reason if the
        server has not started this process, or if its machine is at another address already.
        """
        name = self._names.get(pid)
        if name is None:
            raise ValueError(f"process {pid} was not started by this server, or has ended")
        known = self._of.get(pid)
        if known is not None and known.address != address:
            raise ValueError(f"process {pid} is registered already, at port {known.address[1]}")
        self.unregister(address)
        self._ended_at.pop(address, None)
        registration = self._at[address] = self._of[pid] = Registration(address, pid, name)
        return registration

    def unregister(self, address: Peer) -> Registration | None:
        """Remove the registration at an address and return it; None: there was none."""
        found = self._at.pop(address, None)
        if found is not None:
            del self._of[found.pid]
        return found

    def at(self, address: Peer) -> Registration | None:
        """Return the registration at an address; None: there is none."""
        return self._at.get(address)

    def text(self, *, legacy: bool = False) -> str:
        """Return the reply to `list`: see `listing`."""
        return listing(self._at.values(), legacy=legacy)


def listing(registered: Iterable[Registration], *, legacy: bool = False) -> str:
    """Return registrations as CSV, sorted by port, as the original's server replies to `list`.

    Each line ends with a newline; the first names the columns. `legacy`: in the order of the oldest
    generation of the protocol (`Port,Machine,PID`). What does not fit in a datagram is left out,
    in whole lines.
    """
    lines = ["Port,Machine,PID\n" if legacy else "Port,PID,Machine\n"]
    size = len(lines[0])
    for each in sorted(registered, key=lambda each: (each.address[1], each.address[0])):
        pid, port = each.pid, each.address[1]
        line = f"{port},{each.name},{pid}\n" if legacy else f"{port},{pid},{each.name}\n"
        size += len(line.encode())
        if size > LIST_LIMIT:
            break
        lines.append(line)
    return "".join(lines)
