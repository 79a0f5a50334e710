"""protocol_switch: several protocols on one port, told apart by how the client begins.

    [[listener]]
    name = "switch"
    bind = "tcp://127.0.0.1:15302"
    plugin = "protocol_switch.py"
    options.servers = { "SSH-" = "tcp://127.0.0.1:22", "" = "tcp://127.0.0.1:80" }

The server under "" gets all others, and clients that wait for the server to speak first. TLS begins
with "\\u0016\\u0003".
"""

from dataclasses import dataclass

from vcproxy.api import VIO, Endpoint, Event, NetVConnection, Server, Session, State, TunnelDone


class ProtocolSwitch(Session):
    @dataclass(frozen=True)
    class Options:
        servers: dict[str, Endpoint]
        """Addresses of servers, each under what a client of it says first."""

        def __post_init__(self) -> None:
            if "" not in self.servers:
                raise ValueError('servers needs one under "", for all others')

    options: Options
    needs_upstream = False

    LISTENING = State(initial=True, timeout="2s")
    CONNECTING, RELAYING = State(), State()
    CLOSED = State(final=True)

    @LISTENING.enter
    def listening(self) -> None:
        buffer = self.engine.buffer()
        self.said = buffer.reader()
        self.client.do_io_read(self, None, buffer)

    @LISTENING.on(Event.READ_READY, to=(CONNECTING,))
    def heard(self, vio: VIO) -> State | None:
        said = self.said.peek().decode("latin-1")
        unsure = any(
            len(said) < len(start) and start.startswith(said) for start in self.options.servers
        )
        return None if unsure else self.CONNECTING

    LISTENING.goes(Event.EOS, CONNECTING)
    LISTENING.goes(Event.TIMEOUT, CONNECTING)

    @CONNECTING.enter
    def connecting(self) -> None:
        self.client.do_io_read(self, 0, self.said.buffer)
        self.connect_first()

    def servers(self) -> list[Server]:
        said = self.said.peek().decode("latin-1")
        start = max((start for start in self.options.servers if said.startswith(start)), key=len)
        self.log(f"taken for {start or 'another protocol'!r}")
        return [Server(self.options.servers[start])]

    @CONNECTING.on(Event.EOS)
    def ended(self, vio: VIO) -> None:
        """The client has said all: the tunnel will tell the server."""

    CONNECTING.goes(Event.CONNECTED, RELAYING)

    @RELAYING.enter
    def relaying(self) -> None:
        self.lend(request=self.said)

    @RELAYING.on(TunnelDone, to=CLOSED)
    def relayed(self, done: TunnelDone) -> None:
        if not done.reason.clean:
            self.close(done.error or ConnectionAbortedError(done.reason.value))

    @LISTENING.on(Event.ERROR, Event.INACTIVITY_TIMEOUT, Event.ACTIVE_TIMEOUT, to=CLOSED)
    @CONNECTING.on(Event.ERROR, Event.INACTIVITY_TIMEOUT, Event.ACTIVE_TIMEOUT, to=CLOSED)
    def failed(self, failed: NetVConnection | VIO) -> None:
        self.log(f"{failed.name}: {failed.error or 'its time is up'}")

    def finished(self) -> None:
        self.said.close()
        super().finished()
