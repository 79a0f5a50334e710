"""login: ask for a token before anything touches the server, then step aside.

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

LONGEST = 256  # bytes of a line that may be a token


class Login(Session):
    @dataclass(frozen=True)
    class Options:
        token: str
        """What a client must say in its first line."""

    options: Options
    needs_upstream = True

    ASKING = State(initial=True, timeout="10s")
    CONNECTING, RELAYING = State(), State()
    CLOSED = State(final=True)

    @ASKING.enter
    def asking(self) -> None:
        self.answer(b"token: ")
        buffer = self.engine.buffer()
        self.said = buffer.reader()
        self.client.do_io_read(self, None, buffer)

    @ASKING.on(Event.READ_READY, to=(CONNECTING, CLOSED))
    def answered(self, vio: VIO) -> State | None:
        line, newline, _ = self.said.peek(LONGEST).partition(b"\n")
        if not newline:
            return None if len(line) < LONGEST else self.CLOSED
        if not compare_digest(line.strip(), self.options.token.encode()):
            self.answer(b"no\n")
            return self.CLOSED
        self.said.consume(len(line) + 1)
        return self.CONNECTING

    @CONNECTING.enter
    def connecting(self) -> None:
        self.client.do_io_read(self, 0, self.said.buffer)
        self.connect_first()

    @CONNECTING.on(Event.ERROR, to=(CLOSED,))
    def refused(self, failed: NetVConnection | VIO) -> State | None:
        return None if failed is self.server and self.connect_next() else self.CLOSED

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

    ASKING.goes(Event.TIMEOUT, CLOSED)
    ASKING.goes(Event.EOS, CLOSED)
    ASKING.goes(Event.ERROR, CLOSED)

    @ASKING.on(Event.INACTIVITY_TIMEOUT, Event.ACTIVE_TIMEOUT, to=CLOSED)
    @CONNECTING.on(Event.INACTIVITY_TIMEOUT, Event.ACTIVE_TIMEOUT, to=CLOSED)
    def waited(self, vio: VIO) -> None:
        self.log("its time was up before it was served")

    def finished(self) -> None:
        self.said.close()
        super().finished()
