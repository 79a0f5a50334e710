"""The bundled faults: bytes are delayed, slowed and cut, or dropped by a reset, never changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcproxy.config.errors import OptionsError
from vcproxy.config.options import read_options
from vcproxy.drivers.sim import Peer
from vcproxy.engine.blocks import SLAB
from vcproxy.plugins.faults import BadNetwork
from vcproxy.sessions.forwarder import Forwarder
from vcproxy.testing.machines import check_machine
from vcproxy.testing.proxy import SimulatedProxy
from vcproxy.tunnels.one_way import OneWayTunnel
from vcproxy.tunnels.paced import MOST_SHARE, PacedOneWay, PacedTwoWay
from vcproxy.tunnels.two_way import TwoWayTunnel


def bad(seed: int = 0, **table: Any) -> SimulatedProxy:
    """Return a proxy with these faults."""
    options, _ = read_options(BadNetwork, table, Path())
    return SimulatedProxy(BadNetwork, options=options, seed=seed)


def connected(proxy: SimulatedProxy) -> tuple[Peer, Peer]:
    client = proxy.client()
    return client, proxy.server()


def arrivals(proxy: SimulatedProxy, peer: Peer) -> list[tuple[float, bytes]]:
    """Return a list that fills with the time and data of each arrival at a peer; b"": its end."""
    log: list[tuple[float, bytes]] = []
    peer.on_data = lambda data: log.append((round(proxy.sim.now, 6), data))
    peer.on_end = lambda: log.append((round(proxy.sim.now, 6), b""))
    return log


def test_without_faults_it_forwards() -> None:
    with bad() as proxy:
        client, server = connected(proxy)
        client.send(b"ping")
        server.send(b"pong")
        proxy.run()
        assert server.received == b"ping"
        assert client.received == b"pong"
        assert proxy.sim.now == 0.0


def test_latency_delays_the_bytes_and_the_end_of_its_direction() -> None:
    with bad(up={"latency": "2s"}) as proxy:
        client, server = connected(proxy)
        log = arrivals(proxy, server)
        server.send(b"at once")
        client.send(b"one")
        proxy.elapse(1.0)
        assert client.received == b"at once"
        client.send(b"two")
        proxy.elapse(0.5)
        client.end()
        proxy.run()
        assert log == [(2.0, b"one"), (3.0, b"two"), (3.5, b"")]
        server.end()
        proxy.run()
        assert not proxy.engine.vcs
        assert proxy.engine.memory.used == 0
        assert proxy.log == []


def test_jitter_is_not_more_than_latency() -> None:
    with pytest.raises(OptionsError, match=r"up: .*jitter is greater than latency"):
        bad(up={"latency": "1s", "jitter": "1001ms"})
    bad(up={"latency": "1s", "jitter": "1s"})


def test_latency_keeps_the_rate() -> None:
    with bad(down={"latency": "1s"}) as proxy:
        client, server = connected(proxy)
        server.send(bytes(10 << 20))
        server.end()
        proxy.run()
        assert len(client.received) == 10 << 20
        assert proxy.sim.now == pytest.approx(1.0, abs=0.1)
        assert proxy.engine.memory.used == 0


def test_latency_does_not_enlarge_the_queue_of_a_bandwidth() -> None:
    with bad(down={"latency": "2s", "bandwidth": "1MiB"}) as proxy:
        client, server = connected(proxy)
        server.send(bytes(20 << 20))
        for _ in range(50):
            proxy.elapse(0.1)
            assert proxy.engine.memory.used <= (3 << 20) + 3 * SLAB
        assert 2.8 * (1 << 20) < len(client.received) < 3.2 * (1 << 20)


def test_jitter_never_changes_the_order() -> None:
    with bad(up={"latency": "1s", "jitter": "1s"}) as proxy:
        client, server = connected(proxy)
        log = arrivals(proxy, server)
        for number in range(100):
            client.send(b"%d " % number)
            proxy.elapse(0.01)
        proxy.elapse(2.0)
        assert server.received.split() == [b"%d" % number for number in range(100)]
        assert 0.0 <= log[0][0] < log[-1][0] <= 3.0


def test_bandwidth() -> None:
    with bad(down={"bandwidth": "10KiB"}) as proxy:
        client, server = connected(proxy)
        server.send(bytes(100 * 1024))
        proxy.elapse(5.0)
        assert 50 * 1024 <= len(client.received) <= 51 * 1024
        proxy.run()
        assert len(client.received) == 100 * 1024
        assert 9.5 < proxy.sim.now < 10.5


def test_slices_and_pauses() -> None:
    with bad(up={"slice": "3B", "pause": "1s"}) as proxy:
        client, server = connected(proxy)
        log = arrivals(proxy, server)
        client.send(b"12345678")
        client.end()
        proxy.run()
        assert log == [(0.0, b"123"), (1.0, b"456"), (2.0, b"78"), (3.0, b"")]


@pytest.mark.parametrize("sent", [10, 11])
def test_a_reset_after_a_number_of_bytes(sent: int) -> None:
    with bad(up={"reset_after": "10B"}) as proxy:
        client, server = connected(proxy)
        client.send(bytes(sent))
        proxy.run()
        assert server.received == bytes(10)
        assert client.reset_seen is server.reset_seen is (sent > 10)
        if sent > 10:
            assert "reset by a configured fault" in proxy.log[0]
            assert not proxy.engine.vcs


def test_a_random_reset_repeats_with_its_seed() -> None:
    def run(seed: int) -> bytes:
        with bad(seed, up={"reset": 0.1, "slice": "1B"}) as proxy:
            client, server = connected(proxy)
            client.send(bytes(1000))
            proxy.run()
            assert client.reset_seen
            assert server.reset_seen
            return bytes(server.received)

    assert len({run(1), run(1)}) == 1
    assert len({run(seed) for seed in range(10)}) > 1


@pytest.mark.parametrize(
    ("table", "counts"), [({"refuse": 0.5}, "refused"), ({"share": 0.5}, "bad")]
)
def test_a_share_of_the_connections_has_faults(table: dict[str, Any], counts: str) -> None:
    with bad(up={"latency": "1s"}, **table) as proxy:
        for _ in range(100):
            proxy.client()
        proxy.run()
        assert 30 < proxy.service.counts[counts] < 70


def max_held(proxy: SimulatedProxy) -> int:
    """Return how many bytes may be held for one direction, with those read last."""
    return proxy.engine.memory.budget // MOST_SHARE + 3 * SLAB


def test_delayed_bytes_are_bounded_by_memory() -> None:
    with bad(up={"latency": "1h"}) as proxy:
        client, _ = connected(proxy)
        client.send(bytes(2 * max_held(proxy)))
        proxy.elapse(60.0)
        assert proxy.engine.memory.used <= max_held(proxy)
        client.reset()
        proxy.elapse(60.0)
        assert not proxy.engine.vcs
        assert proxy.engine.memory.used == 0


def test_a_server_that_does_not_read_loses_nothing() -> None:
    with bad(up={"latency": "1ms", "slice": "64KiB"}) as proxy:
        client, server = connected(proxy)
        server.stall()
        size = 2 * max_held(proxy)
        client.send(bytes(size))
        client.end()
        proxy.run()
        assert proxy.engine.memory.used <= max_held(proxy)
        server.resume()
        proxy.run()
        assert server.received == bytes(size)
        assert server.ended


@given(
    latency=st.integers(0, 50),
    jitter=st.integers(0, 50),
    bandwidth=st.sampled_from([0, 1, 100, 10_000]),
    piece=st.integers(0, 10),
    pause=st.integers(0, 10),
    pieces=st.lists(st.binary(max_size=30), max_size=10),
    seed=st.integers(0, 1000),
)
def test_no_byte_is_lost_or_changed(
    latency: int,
    jitter: int,
    bandwidth: int,
    piece: int,
    pause: int,
    pieces: list[bytes],
    seed: int,
) -> None:
    faults = {
        "latency": f"{latency}ms",
        "jitter": f"{min(jitter, latency)}ms",
        "bandwidth": f"{bandwidth}B",
        "slice": f"{piece}B",
        "pause": f"{pause}ms",
    }
    with bad(seed, up=faults, down=faults) as proxy:
        client, server = connected(proxy)
        server.on_data = server.send
        server.on_end = server.end
        for data in pieces:
            client.send(data)
            proxy.elapse(0.01)
        client.end()
        proxy.run()
        assert client.received == b"".join(pieces)
        assert client.ended
        assert not proxy.engine.vcs


@pytest.mark.parametrize(
    "table", [{"up": {"reset": 1.5}}, {"down": {"latency": 3}}, {"share": -1.0}, {"sideways": {}}]
)
def test_invalid_options_are_refused(table: dict[str, Any]) -> None:
    with pytest.raises(OptionsError):
        bad(**table)


def test_the_machines_are_sound() -> None:
    assert check_machine(BadNetwork) == check_machine(Forwarder)
    assert check_machine(PacedOneWay) == check_machine(OneWayTunnel)
    assert check_machine(PacedTwoWay) == check_machine(TwoWayTunnel)
