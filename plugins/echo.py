"""echo: sends the bytes of each client back to it."""

from vcproxy.api import OneWayTunnel, Session, State, TunnelDone


class Echo(Session):
    """Echo one client: a tunnel whose source and sink are the client's connection."""

    needs_upstream = False
    datagrams = True

    ECHOING = State(initial=True)
    CLOSED = State(final=True)

    @ECHOING.enter
    def echoing(self) -> None:
        """Lend the client to a tunnel as its source and its sink."""
        OneWayTunnel(self, self.client, self.client, watch=False, name=self.name).start()

    @ECHOING.on(TunnelDone, to=CLOSED)
    def echoed(self, done: TunnelDone) -> None:
        """Log an abnormal end, unless the client was a health check's probe."""
        if not (self.ended_cleanly(done) or self.was_probe):
            self.log(done)
