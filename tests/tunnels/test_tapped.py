"""TappedOneWay: somebody hears all that goes through, and it goes through no less."""

from __future__ import annotations

import pytest

from vcproxy.drivers.sim import NetworkFaults
from vcproxy.tunnels.done import Flow, Reason
from vcproxy.tunnels.tapped import TappedOneWay

from .stage import BUFFER, BULK, Line, Stage


class Ear:
    """Hears so many bytes, and then no more."""

    def __init__(self, most: int = 1 << 30) -> None:
        self.heard = b""
        self._most = most

    def hear(self, data: bytes) -> bool:
        self.heard += data
        return len(self.heard) < self._most


def overhear(stage: Stage, ear: Ear) -> tuple[Line, Line, TappedOneWay]:
    source, sink = stage.lines()
    tunnel = stage.lend(
        lambda: TappedOneWay(stage.owner, source.vc, sink.vc, on_data=ear.hear, watch=False)
    )
    return source, sink, tunnel


def test_all_is_heard_and_arrives() -> None:
    stage, ear = Stage(), Ear()
    source, sink, _ = overhear(stage, ear)
    source.peer.send(BULK)
    source.peer.end()
    stage.run_within(BUFFER)
    assert ear.heard == sink.peer.received == BULK
    assert sink.peer.ended
    assert stage.done.reason is Reason.EOS
    assert stage.done.flows == (Flow(source.name, sink.name, len(BULK), len(BULK)),)
    assert stage.engine.memory.used == 0


def test_a_sink_that_stalls_is_waited_for() -> None:
    stage, ear = Stage(), Ear()
    source, sink, _ = overhear(stage, ear)
    sink.peer.stall()
    source.peer.send(BULK)
    stage.run_within(BUFFER)
    assert sink.peer.received == b""
    sink.peer.resume()
    stage.run_within(BUFFER)
    assert ear.heard == sink.peer.received == BULK


def test_when_nobody_listens_any_more_both_ends_are_coupled() -> None:
    stage, ear = Stage(), Ear(5)
    source, sink, tunnel = overhear(stage, ear)
    source.peer.send(b"hello")
    stage.run()
    assert tunnel.source.partner is tunnel.sink
    source.peer.send(BULK)
    source.peer.end()
    stage.run()
    assert ear.heard == b"hello"
    assert sink.peer.received == b"hello" + BULK
    assert sink.peer.ended
    assert stage.done.reason is Reason.EOS
    assert stage.engine.memory.used == 0


@pytest.mark.parametrize("seed", range(30))
def test_whatever_the_network_does(seed: int) -> None:
    kind = NetworkFaults(
        short=0.3, one_byte=0.1, latency=(0.0, 0.02), lock_miss=0.2, socket=(1, 5000)
    )
    stage, ear = Stage(seed, faults=kind), Ear(seed * 500 or 1 << 30)
    source, sink, _ = overhear(stage, ear)
    source.peer.send(BULK[:20_000])
    source.peer.end()
    stage.run()
    assert sink.peer.received == BULK[:20_000]
    assert sink.peer.ended
    assert BULK.startswith(ear.heard)
    assert len(ear.heard) >= min(seed * 500 or 20_000, 20_000)
    assert stage.engine.memory.used == 0
