"""echo: send back to each client what it sends."""

from vcproxy.api import OneWayTunnel, Session, State, TunnelDone


class Echo(Session):
    """A tunnel from the client to itself."""

    needs_upstream = False
    datagrams = True

    ECHOING = State(initial=True)
    CLOSED = State(final=True)

    @ECHOING.enter
    def echoing(self) -> None:
        """Lend the client to a tunnel, as both its ends."""
        OneWayTunnel(self, self.client, self.client, watch=False, name=self.name).start()

    @ECHOING.on(TunnelDone, to=CLOSED)
    def echoed(self, done: TunnelDone) -> None:
        """Say why, when it did not end in order."""
        if not (self.ended_cleanly(done) or self.was_probe):
            self.log(done)
