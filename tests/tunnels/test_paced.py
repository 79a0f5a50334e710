"""PacedOneWay, PacedTwoWay: bytes are sent when the pace allows it."""

from __future__ import annotations

from vcproxy.tunnels.done import Reason
from vcproxy.tunnels.one_way import OneWayTunnel
from vcproxy.tunnels.paced import Pace, PacedOneWay, PacedTwoWay

from .harness import BACKLOG, BUFFER, BULK, Harness, Line


class Steps(Pace):
    """Sends `step` bytes each second, and a tail; fails at `fails_at`."""

    def __init__(self, step: int, fails_at: float = 1e9) -> None:
        self.step = step
        self.fails_at = fails_at
        self.left = 0
        self.ends = False
        self.at = 0.0

    def arrived(self, now: float, count: int) -> None:
        self.left += count
        self.ends |= count == 0

    @property
    def next_at(self) -> float | None:
        return self.at if self.left or self.ends else None

    def take(self, now: float) -> int:
        if now >= self.fails_at:
            raise ConnectionResetError("enough")
        count = min(self.step, self.left)
        self.left -= count
        self.ends = self.ends and bool(count)
        self.at = now + 1.0
        return count

    def finish(self) -> bytes:
        return b"!"


def lend(harness: Harness, source: Line, sink: Line, pace: Pace | None) -> OneWayTunnel:
    return harness.lend(lambda: PacedOneWay(harness.owner, source.vc, sink.vc, transform=pace))


def test_pieces_are_sent_at_their_time_and_then_the_end(harness: Harness) -> None:
    source, sink = harness.lines()
    came: list[tuple[float, bytes]] = []
    sink.peer.on_data = lambda data: came.append((harness.sim.now, data))
    lend(harness, source, sink, Steps(3))
    source.peer.send(b"1234567")
    source.peer.end()
    harness.run()
    assert came == [(0.0, b"123"), (1.0, b"456"), (2.0, b"7"), (3.0, b"!")]
    assert sink.peer.ended
    assert harness.done.reason is Reason.EOS


def test_waiting_bytes_are_bounded_and_none_is_lost(harness: Harness) -> None:
    source, sink = harness.lines()
    lend(harness, source, sink, Steps(100_000))
    source.peer.send(BULK)
    source.peer.end()
    harness.run_within(BUFFER + 100_000)
    assert sink.peer.received == BULK + b"!"


def test_a_sink_that_does_not_read_delays_the_end(harness: Harness) -> None:
    source, sink = harness.lines()
    lend(harness, source, sink, Steps(50_000))
    sink.peer.stall()
    source.peer.send(BACKLOG)
    source.peer.end()
    harness.run()
    assert harness.owner.events == []
    sink.peer.resume()
    harness.run()
    assert sink.peer.received == BACKLOG + b"!"


def test_bytes_in_the_buffer_are_paced_too(harness: Harness) -> None:
    source, sink = harness.lines()
    source.peer.send(b"ab")
    _, reader = harness.read(source)
    harness.run()
    harness.lend(
        lambda: PacedOneWay(harness.owner, source.vc, sink.vc, reader=reader, transform=Steps(1))
    )
    source.peer.send(b"c")
    harness.run()
    assert sink.peer.received == b"abc"
    assert harness.sim.now >= 2.0


def test_a_pace_that_raises_ends_it(harness: Harness) -> None:
    source, sink = harness.lines()
    lend(harness, source, sink, Steps(1, fails_at=2.0))
    source.peer.send(b"abc")
    harness.run()
    assert sink.peer.received == b"ab"
    assert harness.done.reason is Reason.STOPPED
    assert str(harness.done.error) == "enough"


def test_stop_while_bytes_wait(harness: Harness) -> None:
    source, sink = harness.lines()
    tunnel = lend(harness, source, sink, Steps(1))
    source.peer.send(b"ab")
    harness.run(until=lambda: bool(sink.peer.received))
    with harness.held():
        tunnel.stop()
    harness.run()
    assert sink.peer.received == b"a"
    assert harness.sim.now < 1.0, "no timer is left"


def test_without_a_pace_it_is_a_one_way_tunnel(harness: Harness) -> None:
    source, sink = harness.lines()
    lend(harness, source, sink, None)
    source.peer.send(BULK)
    source.peer.end()
    harness.run()
    assert sink.peer.received == BULK
    assert harness.done.reason is Reason.EOS


def test_each_direction_has_its_own_pace(harness: Harness) -> None:
    client, server = harness.lines()
    harness.lend(lambda: PacedTwoWay(harness.owner, client.vc, server.vc, downward=Steps(1)))
    client.peer.send(b"question")
    server.peer.send(b"no")
    harness.run(until=lambda: client.peer.received == b"n")
    assert server.peer.received == b"question"
    harness.run()
    assert client.peer.received == b"no"
    assert harness.sim.now == 1.0
