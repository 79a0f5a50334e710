"""Paced tunnels: bytes go on when their pace says so, and otherwise as in any tunnel."""

from __future__ import annotations

from vcproxy.tunnels.done import Reason
from vcproxy.tunnels.one_way import OneWayTunnel
from vcproxy.tunnels.paced import Pace, PacedOneWay, PacedTwoWay

from .stage import BUFFER, BULK, OWED, Line, Stage


class Steps(Pace):
    """So many bytes each second, and a last word."""

    def __init__(self, step: int, breaks_at: float = 1e9) -> None:
        self.step = step
        self.breaks_at = breaks_at
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
        if now >= self.breaks_at:
            raise ConnectionResetError("enough")
        count = min(self.step, self.left)
        self.left -= count
        self.ends = self.ends and bool(count)
        self.at = now + 1.0
        return count

    def finish(self) -> bytes:
        return b"!"


def lend(stage: Stage, source: Line, sink: Line, pace: Pace | None) -> OneWayTunnel:
    return stage.lend(lambda: PacedOneWay(stage.owner, source.vc, sink.vc, transform=pace))


def test_pieces_go_in_their_time_and_the_end_behind_them(stage: Stage) -> None:
    source, sink = stage.lines()
    came: list[tuple[float, bytes]] = []
    sink.peer.on_data = lambda data: came.append((stage.sim.now, data))
    lend(stage, source, sink, Steps(3))
    source.peer.send(b"1234567")
    source.peer.end()
    stage.run()
    assert came == [(0.0, b"123"), (1.0, b"456"), (2.0, b"7"), (3.0, b"!")]
    assert sink.peer.ended
    assert stage.done.reason is Reason.EOS


def test_what_must_wait_is_bounded_and_none_of_it_is_lost(stage: Stage) -> None:
    source, sink = stage.lines()
    lend(stage, source, sink, Steps(100_000))
    source.peer.send(BULK)
    source.peer.end()
    stage.run_within(BUFFER + 100_000)
    assert sink.peer.received == BULK + b"!"


def test_a_sink_that_does_not_read_is_waited_for(stage: Stage) -> None:
    source, sink = stage.lines()
    lend(stage, source, sink, Steps(50_000))
    sink.peer.stall()
    source.peer.send(OWED)
    source.peer.end()
    stage.run()
    assert stage.owner.heard == []
    sink.peer.resume()
    stage.run()
    assert sink.peer.received == OWED + b"!"


def test_what_lay_there_already_keeps_to_the_pace_too(stage: Stage) -> None:
    source, sink = stage.lines()
    source.peer.send(b"ab")
    _, reader = stage.read(source)
    stage.run()
    stage.lend(
        lambda: PacedOneWay(stage.owner, source.vc, sink.vc, reader=reader, transform=Steps(1))
    )
    source.peer.send(b"c")
    stage.run()
    assert sink.peer.received == b"abc"
    assert stage.sim.now >= 2.0


def test_a_pace_that_breaks_ends_it(stage: Stage) -> None:
    source, sink = stage.lines()
    lend(stage, source, sink, Steps(1, breaks_at=2.0))
    source.peer.send(b"abc")
    stage.run()
    assert sink.peer.received == b"ab"
    assert stage.done.reason is Reason.STOPPED
    assert str(stage.done.error) == "enough"


def test_it_may_be_stopped_while_something_waits(stage: Stage) -> None:
    source, sink = stage.lines()
    tunnel = lend(stage, source, sink, Steps(1))
    source.peer.send(b"ab")
    stage.run(until=lambda: bool(sink.peer.received))
    with stage.held():
        tunnel.stop()
    stage.run()
    assert sink.peer.received == b"a"
    assert stage.sim.now < 1.0, "no alarm is left behind"


def test_without_a_pace_it_is_a_tunnel_like_any_other(stage: Stage) -> None:
    source, sink = stage.lines()
    lend(stage, source, sink, None)
    source.peer.send(BULK)
    source.peer.end()
    stage.run()
    assert sink.peer.received == BULK
    assert stage.done.reason is Reason.EOS


def test_each_direction_has_its_own_pace(stage: Stage) -> None:
    client, server = stage.lines()
    stage.lend(lambda: PacedTwoWay(stage.owner, client.vc, server.vc, downward=Steps(1)))
    client.peer.send(b"question")
    server.peer.send(b"no")
    stage.run(until=lambda: client.peer.received == b"n")
    assert server.peer.received == b"question"
    stage.run()
    assert client.peer.received == b"no"
    assert stage.sim.now == 1.0
