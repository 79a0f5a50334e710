"""circuit_breaker: when servers cannot be reached, say so at once instead of trying each time.

    [[listener]]
    name = "breaker"
    bind = "tcp://127.0.0.1:15307"
    plugin = "circuit_breaker.py"
    upstream = "shop"
    options = { failures = 3, pause = "10s" }
    [upstream.shop]
    servers = ["tcp://127.0.0.1:8080"]

After a pause one client is let through: if a server takes it, so are the others.
"""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from vcproxy.api import Duration, Forwarder


class Circuit:
    """What all clients know of the servers."""

    failures = 0
    closed_until = 0.0


class CircuitBreaker(Forwarder):
    @dataclass(frozen=True)
    class Options:
        failures: Annotated[int, Field(ge=1)] = 3
        """Clients in a row that no server took."""
        pause: Duration = 10.0
        """How long no server is tried."""

    options: Options

    def refusal(self) -> bytes | None:
        circuit, now = self.service.share(Circuit), self.engine.now
        if circuit.failures < self.options.failures:
            return None
        if now < circuit.closed_until:
            return b"try again later\n"
        circuit.closed_until = now + self.options.pause
        return None

    def unserved(self) -> bytes:
        circuit = self.service.share(Circuit)
        circuit.failures += 1
        circuit.closed_until = self.engine.now + self.options.pause
        return b"try again later\n"

    def relaying(self) -> None:
        self.service.share(Circuit).failures = 0
        super().relaying()
