"""login: ask for a token before connecting to the server, then forward everything.

[[listener]]
name = "login"
bind = "tcp://127.0.0.1:15303"
plugin = "login.py"
upstream = "shop"
options.token = "open sesame"
[upstream.shop]
servers = ["tcp://127.0.0.1:8080"]
"""

from dataclasses import dataclass
from hmac import compare_digest

from vcproxy.api import VIO, Event, NetVConnection, Session, State, TunnelDone

MAX_LINE = 256  # bytes, with the token


class Login(Session):
    @dataclass(frozen=True)
    class Options:
        token: str
        """The token that a client must send in its first line."""

    options: Options
    needs_upstream = True

    WAITING = State(initial=True, timeout="10s")
    CONNECTING, RELAYING = State(), State()
    CLOSED = State(final=True)

    @WAITING.enter
    def send_prompt(self) -> None:
        self.answer(b"token: ")
        buffer = self.engine.buffer()
        self.input = buffer.reader()
        self.client.do_io_read(self, None, buffer)

    @WAITING.on(Event.READ_READY, to=(CONNECTING, CLOSED))
    def token_arrived(self, vio: VIO) -> State | None:
        line, newline, _ = self.input.peek(MAX_LINE).partition(b"\n")
        if not newline:
            return None if len(line) < MAX_LINE else self.CLOSED
        if not compare_digest(line.strip(), self.options.token.encode()):
            self.answer(b"no\n")
            return self.CLOSED
        self.input.consume(len(line) + 1)
        return self.CONNECTING

    @CONNECTING.enter
    def connect_server(self) -> None:
        self.client.do_io_read(self, 0, self.input.buffer)
        self.connect_first()

    @CONNECTING.on(Event.ERROR, to=(CLOSED,))
    def connect_failed(self, failed: NetVConnection | VIO) -> State | None:
        return None if failed is self.server and self.connect_next() else self.CLOSED

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

    WAITING.goes(Event.TIMEOUT, CLOSED)
    WAITING.goes(Event.EOS, CLOSED)
    WAITING.goes(Event.ERROR, CLOSED)

    @WAITING.on(Event.INACTIVITY_TIMEOUT, Event.ACTIVE_TIMEOUT, to=CLOSED)
    @CONNECTING.on(Event.INACTIVITY_TIMEOUT, Event.ACTIVE_TIMEOUT, to=CLOSED)
    def timed_out(self, vio: VIO) -> None:
        self.log("connection timed out before it was served")

    def finished(self) -> None:
        self.input.close()
        super().finished()
