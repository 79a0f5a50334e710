"""Session: the base of plugins. It owns a client VC and, when it wants one, a server VC."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from tunnels.two_way import TwoWayTunnel
from vcproxy.machine.machine import Machine

if TYPE_CHECKING:
    from vcproxy.business.service import Service
    from vcproxy.engine.net import NetVConnection
    from vcproxy.upstream.servers import Server


class Session(Machine):
    """One client's conversation. A subclass declares its states; see Machine.

    It is made and started when a client's connection is established, and runs under the client's
    mutex. In its final state it closes what it owns. An exception ends it, closed.
    """

    vcproxy_plugin: ClassVar[bool] = True
    needs_upstream: ClassVar[bool | None] = None
    """True: a listener must name an upstream; False: it must not; None: as it likes."""

    __slots__ = ("client", "server", "service")

    def __init__(self, client: NetVConnection, service: Service) -> None:
        super().__init__(client.engine, client.mutex, name=client.name)
        self.client = client
        self.service = service
        self.server: NetVConnection | None = None
        client.set_inactivity_timeout(service.inactivity_s)
        client.set_active_timeout(service.active_s)

    def connect(self, server: Server) -> None:
        """Ask for the server VC: CONNECTED or ERROR follows, with the VC."""
        self.server = self.engine.connect(
            self, server.address, tls=server.tls, timeout=self.service.connect_s
        )

    def lend(self, tunnel: type[TwoWayTunnel] = TwoWayTunnel, **options: Any) -> None:
        """Lend client and server to a tunnel: TunnelDone brings them back."""
        assert self.server is not None, "connect() first: there is no server to lend"
        half_close = self.service.half_close
        tunnel(self, self.client, self.server, half_close=half_close, **options).start()

    def log(self, text: object) -> None:
        """Log a line, with the session's name before it."""
        self.engine.log("info", f"{self.name}: {text}")

    def close(self, error: Exception | None = None) -> None:
        """Close both VCs; with an error their peers see a reset, not an orderly end."""
        self.client.do_io_close(error)
        if self.server is not None:
            self.server.do_io_close(error)

    def finished(self) -> None:
        """The machine is over: nothing stays open behind it."""
        self.close()
