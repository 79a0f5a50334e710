"""ReconnectingConnection: opened again whenever the peer ends it, and closed on request."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from random import Random

import pytest

from vcproxy.drivers.sim import NetworkFaults, Peer, SimulatedServer, Simulation, seeds
from vcproxy.engine.address import Address
from vcproxy.engine.continuation import Continuation
from vcproxy.engine.event import Event
from vcproxy.engine.mutex import Mutex
from vcproxy.engine.vio import VIO
from vcproxy.testing.machines import check_machine
from vcproxy.upstream.backoff import Backoff
from vcproxy.upstream.reconnecting import Reconnected, ReconnectingConnection

SINK = Address.parse("tcp://sink:1")
KEYS = {
    *("ERROR", "CONNECTED", "LOST", "RETRY"),
    *("EOS", "WRITE_READY", "WRITE_COMPLETE"),
}
REFUSED = "tcp://sink:1: connection refused"


class Maximum(Random):
    """Returns the upper bound."""

    def uniform(self, a: float, b: float) -> float:
        return b


class Owner(Continuation):
    """Reads from each connection, and calls `lost` when it ends."""

    def __init__(
        self,
        sim: Simulation,
        *,
        connect_s: float = 0.0,
        tls: object = None,
        opening: bytes = b"",
    ) -> None:
        self.sim = sim
        super().__init__(sim.driver("proxy").engine, Mutex())
        self.backoff = Backoff(Maximum())  # 0.1 s, 0.2 s, 0.4 s ...
        self.connection = ReconnectingConnection(
            self, SINK, tls=tls, opening=opening, connect_s=connect_s, backoff=self.backoff
        )
        self.ups: list[Reconnected] = []
        with self.mutex.hold(self.engine):
            self.connection.start()

    def handle_event(self, key: Hashable, data: object) -> None:
        if isinstance(data, Reconnected):
            assert key is Reconnected
            assert data.connection is self.connection
            assert not data.vc.closed
            self.ups.append(data)
            data.vc.do_io_read(self, None, self.engine.buffer())
        else:
            assert isinstance(data, VIO)
            if key is Event.EOS:
                self.connection.lost("it ended")
            elif key is Event.ERROR:
                self.connection.lost("it broke", data.error)

    def stop(self) -> None:
        """Stop it; no VC remains, whatever was in progress."""
        with self.mutex.hold(self.engine):
            self.connection.stop()
        ups = len(self.ups)
        self.sim.run()
        assert len(self.ups) == ups
        assert not self.engine.vcs
        assert not self.mutex.vcs

    @property
    def log(self) -> list[str]:
        """The logged texts, without the name at their beginning."""
        return [text.removeprefix("tcp://sink:1: ") for _, _, text in self.sim.log]


def end(peer: Peer) -> None:
    """Close a connection at once."""
    peer.close()


def test_the_machine_handles_every_event() -> None:
    # The events of a connection that is up go to its owner.
    assert check_machine(ReconnectingConnection) == {
        f"{state} {key}"
        for state, known in {
            "CONNECTING": {"ERROR", "CONNECTED"},
            "OPENING": {"ERROR", "EOS", "WRITE_READY", "WRITE_COMPLETE"},
            "UP": {"LOST"},
            "WAITING": {"RETRY"},
        }.items()
        for key in KEYS - known
    }


def test_the_owner_gets_the_connection() -> None:
    with Simulation(seed=1) as sim:
        server = sim.server(SINK)
        owner = Owner(sim)
        sim.run()
        assert len(owner.ups) == 1
        assert owner.log == []
        assert owner.connection.reconnects == 0
        owner.stop()
        assert server.peers[0].ended


def test_a_context_is_not_used_for_a_target_without_tls() -> None:
    with Simulation(seed=1) as sim:
        server = sim.server(SINK)
        owner = Owner(sim, tls=object())
        sim.run()
        assert server.peers[0].connected
        assert len(owner.ups) == 1
        owner.stop()


def test_a_refusing_target_is_tried_again_after_growing_delays() -> None:
    with Simulation(seed=1) as sim:
        owner = Owner(sim)
        sim.elapse(1.4)
        assert owner.log == [
            f"{REFUSED}; trying again in {delay}" for delay in ("100ms", "200ms", "400ms", "800ms")
        ]
        server = sim.server(SINK)
        sim.elapse(0.2)
        assert len(owner.ups) == len(server.peers) == 1
        assert owner.connection.reconnects == 0
        owner.stop()


def test_a_long_outage_does_not_fill_the_log() -> None:
    with Simulation(seed=1) as sim:
        owner = Owner(sim)
        sim.elapse(24 * 3600)
        assert len(owner.log) == 10  # 0.1 s to 25.6 s, and 30 s once
        assert owner.log[-1] == f"{REFUSED}; trying again in 30s"
        owner.stop()


def test_a_lost_connection_is_opened_again() -> None:
    with Simulation(seed=1) as sim:
        server = sim.server(SINK)
        owner = Owner(sim)
        for times in range(1, 4):
            sim.elapse(10)
            server.peers[-1].close()
            sim.elapse(0.05)
            assert owner.ups[-1].vc.closed
            sim.elapse(0.06)
            assert len(owner.ups) == times + 1
            assert owner.connection.reconnects == times
        assert owner.log == ["it ended; trying again in 100ms"] * 3
        owner.stop()


def test_an_error_is_passed_on_and_logged() -> None:
    with Simulation(seed=1) as sim:
        server = sim.server(SINK)
        owner = Owner(sim)
        sim.elapse(10)
        with owner.mutex.hold(owner.engine):
            owner.connection.lost("it lagged too far behind", ConnectionAbortedError("1MiB"))
            owner.connection.lost("twice")
        sim.elapse(1)
        assert server.peers[0].reset_seen
        assert owner.log == ["it lagged too far behind: 1MiB; trying again in 100ms"]
        assert owner.connection.reconnects == 1
        owner.stop()


def test_a_flapping_target_is_tried_seldom_and_does_not_fill_the_log() -> None:
    with Simulation(seed=1) as sim:
        server = sim.server(SINK, on_connect=end)
        owner = Owner(sim)
        sim.elapse(3600)
        assert len(server.peers) < 130  # 9 while the delays grow, then one every 30 s
        assert len(owner.log) == 10
        owner.stop()


def test_an_attempt_times_out() -> None:
    with Simulation(seed=1, faults=NetworkFaults(latency=(5.0, 5.0))) as sim:
        sim.server(SINK)
        owner = Owner(sim, connect_s=2.0)
        sim.elapse(2.05)
        assert owner.log == ["connection timed out; trying again in 100ms"]
        owner.stop()


@pytest.mark.parametrize(
    "state",
    [ReconnectingConnection.CONNECTING, ReconnectingConnection.UP, ReconnectingConnection.WAITING],
)
def test_it_stops_in_any_state(state: object) -> None:
    with Simulation(seed=1, faults=NetworkFaults(latency=(0.1, 0.1))) as sim:
        server = None if state is ReconnectingConnection.WAITING else sim.server(SINK)
        owner = Owner(sim)
        sim.run(until=lambda: owner.connection.state is state)
        owner.stop()
        assert len(owner.ups) <= 1
        if server is not None:
            assert all(peer.ended or peer.reset_seen for peer in server.peers)


def test_stop_while_connected_is_queued() -> None:
    with Simulation(seed=1) as sim:
        sim.server(SINK)
        owner = Owner(sim)
        # The driver has reported the end, but the engine has not delivered the event yet.
        sim.run(until=lambda: any(vc.open for vc in owner.engine.vcs))
        owner.stop()
        assert owner.ups == []


def test_the_opening_is_sent_each_time_before_the_owner_gets_the_connection() -> None:
    with Simulation(seed=1) as sim:
        server = sim.server(SINK)
        owner = Owner(sim, opening=b"LOGIN\r\n")
        sim.run(until=lambda: bool(owner.ups))
        assert owner.ups[0].vc.moved
        sim.elapse(10)
        assert server.peers[0].received == b"LOGIN\r\n"
        server.peers[0].close()
        sim.elapse(1)
        assert [peer.received for peer in server.peers] == [b"LOGIN\r\n"] * 2
        owner.stop()


def test_a_peer_that_does_not_read_the_opening_is_closed() -> None:
    with Simulation(seed=1, faults=NetworkFaults(socket=(100, 100))) as sim:
        stalled: list[Peer] = []

        def stall_first(peer: Peer) -> None:
            if not stalled:
                peer.stall()
            stalled.append(peer)

        sim.server(SINK, on_connect=stall_first)
        owner = Owner(sim, opening=b"x" * 1000)
        sim.elapse(10.05)
        assert owner.ups == []
        assert owner.log == [
            "it has not read what it was sent first within 10s; trying again in 100ms"
        ]
        sim.elapse(1)
        assert len(owner.ups) == 1
        owner.stop()


@pytest.mark.parametrize("leaves", [Peer.close, Peer.reset])
def test_a_peer_that_leaves_during_the_opening_is_connected_again(
    leaves: Callable[[Peer], None],
) -> None:
    with Simulation(seed=1, faults=NetworkFaults(socket=(100, 100))) as sim:
        stalled: list[Peer] = []

        def stall_first(peer: Peer) -> None:
            if not stalled:
                peer.stall()
            stalled.append(peer)

        server = sim.server(SINK, on_connect=stall_first)
        owner = Owner(sim, opening=b"x" * 1000)
        sim.elapse(1)
        leaves(server.peers[0])
        sim.elapse(2)
        assert len(owner.ups) == 1
        assert len(owner.log) == 1
        owner.stop()


def test_a_subscription_to_a_source_of_messages() -> None:
    with Simulation(seed=1) as sim:
        group = Address.parse("udp://239.1.1.1:5000")
        owner = Owner(sim)
        owner.stop()
        link = ReconnectingConnection(owner, group, subscribe=True)
        with owner.mutex.hold(owner.engine):
            link.start()
            link.stop()
        sim.run()
        assert link.name == "udp://239.1.1.1:5000"


def serve(server: SimulatedServer, random: Random) -> None:
    """Close some connections of a server, and reset others."""
    for peer in server.peers:
        if peer.connected and random.random() < 0.3:
            random.choice((Peer.close, Peer.reset))(peer)


@pytest.mark.parametrize("opening", [b"", b"x" * 300])
@pytest.mark.parametrize("seed", list(seeds(100)))
def test_with_random_faults_there_is_at_most_one_connection(seed: int, opening: bytes) -> None:
    random = Random(seed)
    with Simulation(seed, NetworkFaults.all().some(random)) as sim:
        server = sim.server(SINK)
        owner = Owner(sim, connect_s=random.choice((0.0, 1.0)), opening=opening)
        for _ in range(8):
            sim.elapse(random.uniform(0.0, 3.0))
            serve(server, random)
            alive = [up for up in owner.ups if not up.vc.closed]
            assert len(alive) <= 1
            assert len(owner.mutex.vcs) <= 1
            assert owner.connection.reconnects >= len(owner.ups) - 1
        owner.stop()
