"""protocol_switch: several protocols on one port, detected by the first bytes of the client.

    [[listener]]
    name = "switch"
    bind = "tcp://127.0.0.1:15302"
    plugin = "protocol_switch.py"
    options.servers = { "SSH-" = "tcp://127.0.0.1:22", "" = "tcp://127.0.0.1:80" }

The server under "" gets all other clients, and those that wait for the server to send first. TLS
begins with "\\u0016\\u0003".
"""

from dataclasses import dataclass

from vcproxy.api import VIO, Endpoint, Event, NetVConnection, Server, Session, State, TunnelDone


class ProtocolSwitch(Session):
    @dataclass(frozen=True)
    class Options:
        servers: dict[str, Endpoint]
        """Addresses of servers, each under the first bytes of its clients, as text."""

        def __post_init__(self) -> None:
            if "" not in self.servers:
                raise ValueError('servers must have one under "", for all other clients')

    options: Options
    needs_upstream = False

    DETECTING = State(initial=True, timeout="2s")
    CONNECTING, RELAYING = State(), State()
    CLOSED = State(final=True)

    @DETECTING.enter
    def start_reading(self) -> None:
        buffer = self.engine.buffer()
        self.input = buffer.reader()
        self.client.do_io_read(self, None, buffer)

    @DETECTING.on(Event.READ_READY, to=(CONNECTING,))
    def data_arrived(self, vio: VIO) -> State | None:
        data = self.input.peek().decode("latin-1")
        unsure = any(
            len(data) < len(start) and start.startswith(data) for start in self.options.servers
        )
        return None if unsure else self.CONNECTING

    DETECTING.goes(Event.EOS, CONNECTING)
    DETECTING.goes(Event.TIMEOUT, CONNECTING)

    @CONNECTING.enter
    def connect_server(self) -> None:
        self.client.do_io_read(self, 0, self.input.buffer)
        self.connect_first()

    def servers(self) -> list[Server]:
        data = self.input.peek().decode("latin-1")
        start = max((start for start in self.options.servers if data.startswith(start)), key=len)
        self.log(f"detected {start or 'another protocol'!r}")
        return [Server(self.options.servers[start])]

    @CONNECTING.on(Event.EOS)
    def client_ended(self, vio: VIO) -> None:
        """The client has ended its direction: the tunnel passes that on."""

    CONNECTING.goes(Event.CONNECTED, RELAYING)

    @RELAYING.enter
    def start_tunnel(self) -> None:
        self.lend(request=self.input)

    @RELAYING.on(TunnelDone, to=CLOSED)
    def tunnel_done(self, done: TunnelDone) -> None:
        if not done.reason.clean:
            self.close(done.error or ConnectionAbortedError(done.reason.value))

    @DETECTING.on(Event.ERROR, Event.INACTIVITY_TIMEOUT, Event.ACTIVE_TIMEOUT, to=CLOSED)
    @CONNECTING.on(Event.ERROR, Event.INACTIVITY_TIMEOUT, Event.ACTIVE_TIMEOUT, to=CLOSED)
    def failed(self, failed: NetVConnection | VIO) -> None:
        self.log(f"{failed.name}: {failed.error or 'connection timed out'}")

    def finished(self) -> None:
        self.input.close()
        super().finished()
