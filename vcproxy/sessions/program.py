"""Program: a plugin that lives as long as its listener, and gets all its connections.

Tested in tests/sessions/test_programs.py.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from vcproxy.access_log.author_fields import author_fields
from vcproxy.engine.continuation import Continuation
from vcproxy.engine.mutex import Mutex
from vcproxy.engine.sources.signals import Signal as Signal
from vcproxy.machine.machine import Machine
from vcproxy.sessions.line_limit import LineLimits

if TYPE_CHECKING:
    from vcproxy.engine.address import Address
    from vcproxy.engine.engine import Engine
    from vcproxy.engine.log_function import Level
    from vcproxy.engine.net import NetVConnection
    from vcproxy.sessions.service import Service


class Program(Continuation):
    """One continuation for all clients of a listener, under one mutex. Without `bind`: no clients.

    It is created and started once, when its listener starts to listen, on the first net thread. Its
    clients stay on that thread, and a reload does not restart it. `handle_event` gets Signal,
    and ACCEPT with each client, which then uses the program's mutex. An exception ends it and
    closes all its connections; later clients are closed. It is stopped when its listener is removed
    from the configuration.
    """

    vcproxy_plugin: ClassVar[bool] = True
    needs_upstream: ClassVar[bool | None] = None
    """See Session."""
    datagrams: ClassVar[bool] = False
    """See Session."""
    alpn_refused: ClassVar[frozenset[str]] = frozenset()
    """See Session."""
    one_worker: ClassVar[str] = "a program gets all connections of its listener"
    """See Session."""
    machines: ClassVar[tuple[type[Machine], ...]] = ()
    """The machines that the program consists of: `vcproxy diagram` draws them."""

    @classmethod
    def needs_bind(cls, options: Any) -> bool | None:
        """See Session; a Program may have no `bind`."""
        return None

    @classmethod
    def binds(cls, options: Any) -> Mapping[str, Sequence[Address]]:
        """Return further addresses to listen at, by the option that names them.

        For example, addresses under `subscribers` become the listener "NAME.subscribers", with the
        TLS settings and limits of the program's own listener. To be overridden.
        """
        return {}

    @classmethod
    def unused_methods(cls, options: Any) -> Mapping[str, str]:
        """See Session."""
        return {}

    @classmethod
    def notes(cls, options: Any) -> Mapping[str, str]:
        """See Session."""
        return {}

    @classmethod
    def connects(cls, options: Any) -> Mapping[str, Sequence[Address]]:
        """See Session."""
        return {}

    def __init__(self, engine: Engine, service: Service, write: Callable[[str], None]) -> None:
        """`write` prints a line on standard error unchanged, without a timestamp."""
        super().__init__(engine, Mutex())
        self.service = service
        self.options: Any = service.options
        """The plugin's options; a typed plugin declares `options: Options` in its class."""
        self.write = write

    def start(self) -> None:
        """Start. The mutex is held."""

    def receive_messages(self) -> None:
        """Open the bus for methods declared with `on_message`, after `start`. The mutex is held."""
        if self.receives_messages:
            from vcproxy.bus.dispatch.message_receiver import MessageReceiver  # most need none

            MessageReceiver(self, self.service.name)

    def call_periodic(self, method: str) -> None:
        """Call a method that is declared with `every`. The mutex is held."""
        getattr(self, method)()

    def stop(self) -> None:
        """Close all current and future connections, and all sources; ignore further events. The
        mutex is held."""
        self.mutex.ended = True
        for vc in list(self.mutex.vcs):
            vc.do_io_close()
        self.engine.close_sources(self.mutex)

    def handle_event(self, key: Hashable, data: object) -> None:
        """See Continuation. A program without this method ignores Signal, and fails at others."""
        if key is not Signal:
            super().handle_event(key, data)

    def access_fields_of(self, connection: NetVConnection) -> dict[str, object]:
        """Return the fields that are added to the record of a connection in the access log: of a
        client, or of a server that the program has connected to. See Session.access_fields."""
        return author_fields(connection.record)  # type: ignore[arg-type]  # all kinds have them

    def log(self, text: object, level: Level = "info") -> None:
        """Log a line that begins with the listener's name. `level`: see Session."""
        self.engine.log(level, f"{self.service.name}: {text}")

    def log_seldom(self, kind: str, text: object, level: Level = "info") -> None:
        """Log a line that any peer can cause, at most ten in a minute of each kind: see Session."""
        limit = self.service.share(LineLimits).of(kind)
        limit.log(self.engine, level, f"{self.service.name}: {text}")

    def status(self) -> object:
        """Return the program's status as a plain value, for Proxy.status(). To be overridden."""
        return None

    def accept(self, client: NetVConnection) -> Continuation | None:
        """Accept a client; called by its listener. The client's mutex is held."""
        if self.mutex.ended:
            client.do_io_close()
            return None
        client.join(self.mutex)
        return self

    def bind_option(self, client: NetVConnection) -> str:
        """Return the option (see `binds`) with the address a client connected to; empty: `bind`."""
        assert client.listener is not None
        return client.listener.name.removeprefix(self.service.name).removeprefix(".")
