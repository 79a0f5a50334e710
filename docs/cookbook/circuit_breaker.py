"""circuit_breaker: if no server can be reached, answer clients at once instead of trying each time.

    [[listener]]
    name = "breaker"
    bind = "tcp://127.0.0.1:15307"
    plugin = "circuit_breaker.py"
    upstream = "shop"
    options = { failures = 3, pause = "10s" }
    [upstream.shop]
    servers = ["tcp://127.0.0.1:8080"]

After a pause one client is connected as a trial. If that succeeds, the others are served again.
"""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from vcproxy.api import Duration, Forwarder


class Circuit:
    """The state of the servers, shared by all clients."""

    failures = 0
    open_until = 0.0


class CircuitBreaker(Forwarder):
    @dataclass(frozen=True)
    class Options:
        failures: Annotated[int, Field(ge=1)] = 3
        """Clients in a row that could not be connected to any server."""
        pause: Duration = 10.0
        """How long no connection is tried."""

    options: Options

    def refusal(self) -> bytes | None:
        circuit, now = self.service.share(Circuit), self.now
        if circuit.failures < self.options.failures:
            return None
        if now < circuit.open_until:
            return b"try again later\n"
        circuit.open_until = now + self.options.pause
        return None

    def unserved(self) -> bytes:
        circuit = self.service.share(Circuit)
        circuit.failures += 1
        circuit.open_until = self.now + self.options.pause
        return b"try again later\n"

    def relaying(self) -> None:
        self.service.share(Circuit).failures = 0
        super().relaying()
