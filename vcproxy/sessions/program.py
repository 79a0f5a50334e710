"""Program: a plugin that lives as long as its listener, and gets all its connections."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from vcproxy.engine.continuation import Continuation
from vcproxy.engine.mutex import Mutex
from vcproxy.machine.machine import Machine

if TYPE_CHECKING:
    from vcproxy.engine.address import Address
    from vcproxy.engine.engine import Engine
    from vcproxy.engine.net import NetVConnection
    from vcproxy.sessions.service import Service


@dataclass(frozen=True, slots=True)
class Signal:
    """The process is asked to end: a program may say good-bye before connections are drained."""

    number: int
    """As the operating system counts: 2 is INT, 15 is TERM."""
    pid: int = 0
    """Who sent it; 0 is the kernel, as for a terminal, or somebody unknown."""


class Program(Continuation):
    """One continuation for all clients of a listener, under one mutex; or for none, without `bind`.

    It is made and started once, when its listener listens, on the first net thread, where its
    clients stay, and a reload leaves it alone. `handle_event` is given ACCEPT with each client,
    which is under the program's mutex by then, and Signal. An exception ends it with all its
    connections, and later clients are closed. When its listener has gone from the configuration, it
    is told to stop.
    """

    vcproxy_plugin: ClassVar[bool] = True
    needs_upstream: ClassVar[bool | None] = None
    """As for a Session."""
    datagrams: ClassVar[bool] = False
    """As for a Session."""
    alpn_refused: ClassVar[frozenset[str]] = frozenset()
    """As for a Session."""
    machines: ClassVar[tuple[type[Machine], ...]] = ()
    """What it consists of: `vcproxy diagram` draws them."""

    @classmethod
    def needs_bind(cls, options: Any) -> bool | None:
        """As for a Session; a Program may do without."""
        return None

    @classmethod
    def binds(cls, options: Any) -> Mapping[str, Sequence[Address]]:
        """Return where else its clients come in: addresses, by the option that names them.

        Those of the option `subscribers` are a listener "NAME.subscribers", as its own listener in
        all else. To be overridden.
        """
        return {}

    @classmethod
    def uncalled(cls, options: Any) -> Mapping[str, str]:
        """As for a Session."""
        return {}

    @classmethod
    def notes(cls, options: Any) -> Mapping[str, str]:
        """As for a Session."""
        return {}

    @classmethod
    def connects(cls, options: Any) -> Mapping[str, Sequence[Address]]:
        """As for a Session."""
        return {}

    def __init__(self, engine: Engine, service: Service, write: Callable[[str], None]) -> None:
        """`write` prints a line on standard error as it is: not a log, no time before it."""
        super().__init__(engine, Mutex())
        self.service = service
        self.write = write

    def start(self) -> None:
        """Begin. The mutex is held."""

    def stop(self) -> None:
        """Close every connection, and those to come; take no event any more. The mutex is held."""
        self.mutex.ended = True
        for vc in list(self.mutex.vcs):
            vc.do_io_close()

    def status(self) -> object:
        """How it stands, as a value, for whoever asks (see Proxy). To be overridden."""
        return None

    def accept(self, client: NetVConnection) -> Continuation | None:
        """Take a client over, as its listener's acceptor: the client's mutex is held."""
        if self.mutex.ended:
            client.do_io_close()
            return None
        client.join(self.mutex)
        return self

    def entrance(self, client: NetVConnection) -> str:
        """Return the option of `binds` by whose address a client came in; empty: by `bind`."""
        assert client.listener is not None
        return client.listener.name.removeprefix(self.service.name).removeprefix(".")
