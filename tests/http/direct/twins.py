"""Twins: one script is played twice, on the direct path and on the ordinary path, and everything
that can be seen is compared.

A step is a function of a Play. After each step the proxy runs until nothing is left to do. Then the
state of clients, servers, log, counts, connections, pools and timers is noted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import TypeAlias, TypeVar

from tests.http.proxy.harness import PLAIN, Http
from vcproxy.admission.admission import Admission
from vcproxy.admission.rate import Rate, RateLimits
from vcproxy.drivers.sim import Peer
from vcproxy.drivers.sim.driver import TraceEntry
from vcproxy.http.filters import Phases
from vcproxy.http.proxy.connection import NEXT_REQUEST, HttpProxy
from vcproxy.http.proxy.options import Options
from vcproxy.http.proxy.requesting import CONNECT
from vcproxy.http.proxy.sent_request import SentRequest
from vcproxy.machine.machine import REMEMBERED, HistoryEntry
from vcproxy.upstream.balance import RoundRobin
from vcproxy.upstream.server import Server
from vcproxy.upstream.settings import EjectSettings, PoolSettings, UpstreamSettings
from vcproxy.upstream.upstream import Upstream

T = TypeVar("T")

SERVERS = ("alpha", "beta")
SETTINGS = UpstreamSettings(
    pool=PoolSettings(idle=2, idle_time=5.0), eject=EjectSettings(failures=3, time=10.0)
)


LONGEST_S = 700.0
"""Seconds after which no timer of the proxy runs any more: ejections last longest."""


class InOrder(Random):
    """A source of randomness that keeps the order of the events of one moment, or reverses it."""

    turned = False

    def shuffle(self, x: list[object]) -> None:  # type: ignore[override]
        """Keep the order, or reverse it."""
        if self.turned:
            x.reverse()

    def choice(self, seq: Sequence[T]) -> T:  # type: ignore[override]
        """Choose the first, or the last."""
        return seq[-1 if self.turned else 0]


@dataclass
class World:
    """The configuration in which a script is played."""

    options: Options = PLAIN
    settings: UpstreamSettings = SETTINGS
    servers: Sequence[str] = SERVERS
    filters: Sequence[Callable[[], Phases]] = ()
    rates: Sequence[Rate] = ()
    """The limits of requests."""
    turned: bool = False
    """Whether events of one moment are reported in reverse order."""


@dataclass
class Play:
    """One of the two runs of a script."""

    proxy: Http
    clients: list[Peer] = field(default_factory=list)

    @property
    def upstream(self) -> Upstream:
        """The listener's upstream."""
        assert self.proxy.service.upstream is not None
        return self.proxy.service.upstream

    @property
    def connections(self) -> list[Peer]:
        """The servers' ends of all connections so far, by server."""
        return [peer for name in self.proxy._servers for peer in self.proxy.peers(name)]


Step: TypeAlias = Callable[[Play], object]


def play(steps: Sequence[Step], world: World, *, direct: bool) -> tuple[list[object], int]:
    """Play a script; return what was seen after each step, and how often the direct path served."""
    made = Http(
        options=world.options, terms=world.settings, servers=world.servers, filters=world.filters
    )
    made.engine.direct = direct
    if world.rates:
        admission = Admission()
        admission.requests = RateLimits(world.rates)
        made.service = replace(made.service, admission=admission)
    trace: list[TraceEntry] = []
    made.driver._trace = trace
    order = InOrder(0)
    order.turned = world.turned
    made.sim.network.random = made.sim.random = order
    seen: list[object] = []
    with made as proxy:
        this = Play(proxy)
        for step in steps:
            step(this)
            proxy.go()
            seen.append(state(this))
        for peer in (*this.clients, *this.connections):
            peer.reset()
        proxy.elapse(LONGEST_S)
        names = {session.client.name for session in proxy.sessions}
        directly = sum(entry[2] == "direct" and entry[3] in names for entry in trace)
    return seen, directly


def both(steps: Sequence[Step], world: World | None = None) -> int:
    """Assert that both paths do the same; return how many responses the direct path passed back."""
    world = world or World()
    ordinary, none = play(steps, world, direct=False)
    direct, count = play(steps, world, direct=True)
    assert none == 0
    for number, (seen, wanted) in enumerate(zip(direct, ordinary, strict=True)):
        assert seen == wanted, f"after step {number} of {len(steps)}"
    return count


def state(this: Play) -> object:
    """Return everything that can be seen, as a value."""
    proxy, upstream = this.proxy, this.upstream
    now = proxy.engine.now
    idle = [vc.name for vc in upstream.pool.servers]
    return {
        "clients": [_peer(peer) for peer in this.clients],
        "servers": [_peer(peer) for peer in this.connections],
        "log": proxy.log,
        "access log": proxy.access_log,
        "counts": dict(proxy.service.counts),
        "metrics": [
            (each.instrument.name, list(each.samples()))
            for each in proxy.engine.instruments.values()
        ],
        "sessions": [_session(each) for each in proxy.sessions if isinstance(each, HttpProxy)],
        "connections": [
            (vc.name, vc.moved, vc.moved_at, vc.closed, len(vc.mutex.vcs))
            for vc in proxy.engine.vcs
        ],
        "pool": idle,
        "upstream": [
            (
                server.connections,
                list(server.idle.values()),
                server.failures,
                server.refusals,
                server.ejections,
                server.up,
                server.keep_alive.limit_s,
            )
            for server in upstream.servers
        ],
        "balance": _plain(vars(upstream._servers._balance)),
        "queue": upstream.queue.waiting,
        "memory": proxy.engine.memory.used,
        "buckets": _buckets(proxy.service.admission),
        "now": now,
    }


def _buckets(admission: Admission | None) -> object:
    """When each bucket will be full; a direct request may give a token back and take it again."""
    if admission is None or admission.requests is None:
        return None
    now = [each._older | each._recent for each in admission.requests._limits]
    return [{key: round(full, 6) for key, full in each.items()} for each in now]


def _of_connection(session: HttpProxy) -> list[HistoryEntry]:
    """Return the last events that the connection received from outside; its exchange has a history
    of its own."""
    own = (SentRequest, NEXT_REQUEST, CONNECT)
    entries = [
        entry
        for entry in session.history()
        if entry.state in HttpProxy.states and entry.key not in own
    ]
    return entries[-REMEMBERED // 2 :]


def _plain(value: object) -> object:
    """A value in which servers are named."""
    if isinstance(value, Server):
        return value.name
    if isinstance(value, dict):
        return [(_plain(key), _plain(each)) for key, each in value.items()]
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return _plain(vars(value)) if isinstance(value, RoundRobin) else value


def _peer(peer: Peer) -> object:
    return bytes(peer.received), peer.ended, str(peer.error)


def _session(session: HttpProxy) -> object:
    in_flight = session.direct is not None and session.direct.response.server is not None
    return (
        session.state,
        [(entry.state, entry.key) for entry in _of_connection(session)],
        session.requests + in_flight,
        session.client.closed,
        None if session.state is HttpProxy.CLOSED else session.side.deadline.when_s,
    )
