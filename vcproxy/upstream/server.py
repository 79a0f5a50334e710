"""Server: one server of an upstream, and its state.

Tested in tests/upstream/test_upstream.py, test_connect_attempts.py and test_server_states.py.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Literal, get_args

from vcproxy.upstream.keep_alive import KeepAlive

if TYPE_CHECKING:
    from vcproxy.engine.address import Address
    from vcproxy.engine.continuation import Continuation
    from vcproxy.engine.net import NetVConnection


ServerState = Literal["ready", "drain", "maint"]
"""What an operator has decided, as in HAProxy. "ready": the server is used while it is up; "drain":
it gets no new connections, open ones go on, and its health checks too; "maint": like "drain", and
it is not checked."""

STATES: tuple[ServerState, ...] = get_args(ServerState)

MAX_WEIGHT = 256
"""The greatest weight, as in HAProxy."""


class Server:
    """The address of a server, and the state that its upstream keeps for it.

    A server may also be used without an upstream: then no state is kept.

    Args:
        address: its address.
        tls: the driver's TLS context for connections to it; None: plain.
        weight: its share of the connections relative to the other servers; 0: it gets no new ones.
        host: the name that TLS sends and verifies; the address's host if left out.
        backup: whether it is used only while no other server is up.
        state: what the operator has decided.
    """

    __slots__ = (
        "address", "answered", "backup", "bytes_read", "bytes_written", "configured",
        "connect_failures", "connections", "connects", "ejected", "ejected_until", "ejections",
        "failures", "healthy", "host", "idle", "keep_alive", "last_check", "name", "position",
        "refusals", "request_failures", "serves", "share", "state", "suspect", "times_ejected",
        "tls", "trial", "up_since", "weight",
    )  # fmt: skip

    def __init__(
        self,
        address: Address,
        tls: object = None,
        weight: int = 1,
        host: str = "",
        *,
        backup: bool = False,
        state: ServerState = "ready",
    ) -> None:
        self.address = address
        self.tls = tls
        self.backup = backup
        self.configured = (state, weight)
        """The state and the weight that the server had first."""
        self.host = host or address.host
        self.name = str(address) if self.host == address.host else f"{host} at {address}"
        """Its name in logs."""
        self.position = 0
        """The index of the server in its upstream; below 0: it has been removed."""
        self.set(state, weight)
        self.connections = 0
        """Connections that are being made, in use or idle."""
        self.bytes_read = self.bytes_written = 0
        """What its closed connections have moved."""
        self.connects = self.connect_failures = 0
        """Connections that were begun so far, and those that could not be made."""
        self.answered = self.request_failures = 0
        """Requests that were answered so far, and those that failed."""
        self.times_ejected = 0
        """Ejections so far."""
        self.idle: dict[NetVConnection, float] = {}
        """The server's connections in the pool, the longest idle first, with the time each became
        idle."""
        self.keep_alive = KeepAlive()
        """How long the server itself keeps idle connections open."""
        self.share: float = weight
        """The server's share of the connections: its weight, or less during its slow start."""
        self.healthy = True
        """The result of its health checks."""
        self.last_check = ""
        """"passed", or why its last health check failed; "" before the first one."""
        self.ejected = False
        """Whether the server is ejected: not used for a time, because of failures."""
        self.ejected_until = 0.0
        """When its last ejection ends or has ended, in the engine's time."""
        self.ejections = 0
        """Ejections in a row: above 0 no trial has succeeded since."""
        self.suspect = ""
        """What failed before the ejection: "connections" or "requests"."""
        self.trial: NetVConnection | None = None
        """The connection that tries the ejected server again, until the outcome is known."""
        self.refusals = 0
        """Connections in a row that could not be made."""
        self.failures = 0
        """Requests in a row that failed."""
        self.up_since = float("-inf")
        """When the server last came up; minus infinity: it was up from the beginning."""

    def set(self, state: ServerState, weight: int) -> None:
        """Set the state and the weight."""
        self.state = state
        self.weight = weight
        self.serves = state == "ready" and weight > 0 and self.position >= 0
        """Whether it may get new connections while it is up: it is ready, its weight is not 0, and
        it has not been removed."""

    def keep_settings(self, before: Server) -> None:
        """Set what was set for the same server at run time, in a configuration before this one.

        What was configured differently before is not kept: the file has been edited since.
        """
        state, weight = self.configured
        self.set(
            before.state if before.configured[0] == state else state,
            before.weight if before.configured[1] == weight else weight,
        )

    def __repr__(self) -> str:
        return f"<Server {self.name}>"

    @property
    def up(self) -> bool:
        """Whether it works, as far as is known. It gets connections if it `serves`, too."""
        return self.healthy and not self.ejected and self.trial is None

    @property
    def keeps(self) -> bool:
        """Whether it may get requests of clients that it has served before: it is up, and not in
        maintenance. A drained server keeps its clients."""
        return self.up and self.state != "maint" and self.position >= 0

    @property
    def load(self) -> float:
        """Connections in use, for each unit of its share."""
        return (self.connections - len(self.idle)) / self.share

    def connect(
        self,
        cont: Continuation,
        *,
        client: str = "",
        origin: NetVConnection | None = None,
        tried: Collection[Server] = (),
        timeout: float = 0.0,
    ) -> NetVConnection:
        """Connect without an upstream: see Engine.connect. The other arguments have no effect."""
        return cont.engine.connect(
            cont, self.address, tls=self.tls, server_name=self.host, timeout=timeout
        )

    def server_of(self, vc: NetVConnection) -> Server:
        """Return this server. See Backend."""
        return self

    def has_another(self, tried: Collection[Server]) -> bool:
        """Return False: there is no other server. See Backend."""
        return False
