"""TappedOneWay: a callback gets all bytes, and the sink too."""

from __future__ import annotations

import pytest

from vcproxy.drivers.sim import NetworkFaults
from vcproxy.tunnels.done import Flow, Reason
from vcproxy.tunnels.tapped import TappedOneWay

from .harness import BUFFER, BULK, Harness, Line


class Tap:
    """Wants `most` bytes, and then no more."""

    def __init__(self, most: int = 1 << 30) -> None:
        self.data = b""
        self._most = most

    def on_data(self, data: bytes) -> bool:
        self.data += data
        return len(self.data) < self._most


def tapped(harness: Harness, tap: Tap) -> tuple[Line, Line, TappedOneWay]:
    source, sink = harness.lines()
    tunnel = harness.lend(
        lambda: TappedOneWay(harness.owner, source.vc, sink.vc, on_data=tap.on_data, watch=False)
    )
    return source, sink, tunnel


def test_all_bytes_reach_the_callback_and_the_sink() -> None:
    harness, tap = Harness(), Tap()
    source, sink, _ = tapped(harness, tap)
    source.peer.send(BULK)
    source.peer.end()
    harness.run_within(BUFFER)
    assert tap.data == sink.peer.received == BULK
    assert sink.peer.ended
    assert harness.done.reason is Reason.EOS
    assert harness.done.flows == (Flow(source.name, sink.name, len(BULK), len(BULK)),)
    assert harness.engine.memory.used == 0


def test_a_stalled_sink_delays_the_source() -> None:
    harness, tap = Harness(), Tap()
    source, sink, _ = tapped(harness, tap)
    sink.peer.stall()
    source.peer.send(BULK)
    harness.run_within(BUFFER)
    assert sink.peer.received == b""
    sink.peer.resume()
    harness.run_within(BUFFER)
    assert tap.data == sink.peer.received == BULK


def test_source_and_sink_are_coupled_when_the_callback_is_done() -> None:
    harness, tap = Harness(), Tap(5)
    source, sink, tunnel = tapped(harness, tap)
    source.peer.send(b"hello")
    harness.run()
    assert tunnel.source.partner is tunnel.sink
    source.peer.send(BULK)
    source.peer.end()
    harness.run()
    assert tap.data == b"hello"
    assert sink.peer.received == b"hello" + BULK
    assert sink.peer.ended
    assert harness.done.reason is Reason.EOS
    assert harness.engine.memory.used == 0


@pytest.mark.parametrize("seed", range(30))
def test_random_network_faults(seed: int) -> None:
    kind = NetworkFaults(
        short=0.3, one_byte=0.1, latency=(0.0, 0.02), lock_miss=0.2, socket=(1, 5000)
    )
    harness, tap = Harness(seed, faults=kind), Tap(seed * 500 or 1 << 30)
    source, sink, _ = tapped(harness, tap)
    source.peer.send(BULK[:20_000])
    source.peer.end()
    harness.run()
    assert sink.peer.received == BULK[:20_000]
    assert sink.peer.ended
    assert BULK.startswith(tap.data)
    assert len(tap.data) >= min(seed * 500 or 20_000, 20_000)
    assert harness.engine.memory.used == 0
