"""Transforms: what they make of the bytes arrives, the tail too, and nothing else.

A test that takes `stage` runs on one engine, bridges allowed or not, and between two.
"""

from __future__ import annotations

import zlib

import pytest

from vcproxy.engine.blocks import SLAB
from vcproxy.tunnels.done import Flow, Reason
from vcproxy.tunnels.one_way import CHUNK, OneWayTunnel
from vcproxy.tunnels.transform import Transform
from vcproxy.tunnels.two_way import TwoWayTunnel

from .stage import BUFFER, BULK, NETWORK, OWED, Line, Stage


class Stutter:
    """Says everything several times: expands."""

    def __init__(self, times: int) -> None:
        self.times = times

    def feed(self, data: bytes) -> bytes:
        return data * self.times

    def finish(self) -> bytes:
        return b""


class Deflate:
    """Shrinks, holds back what it likes, and owes a tail."""

    def __init__(self) -> None:
        self._deflate = zlib.compressobj()
        self.finished = 0

    def feed(self, data: bytes) -> bytes:
        return self._deflate.compress(data)

    def finish(self) -> bytes:
        self.finished += 1
        return self._deflate.flush()


class Sealed:
    """Lets everything pass, and owes a seal that says it was all."""

    def feed(self, data: bytes) -> bytes:
        return data

    def finish(self) -> bytes:
        return b"SEAL"


class Verified:
    """Lets whole lines pass, and no line that has a bad word in it."""

    def __init__(self) -> None:
        self._line = b""

    def feed(self, data: bytes) -> bytes:
        *lines, self._line = (self._line + data).split(b"\n")
        for line in lines:
            self.check(line)
        return b"".join(line + b"\n" for line in lines)

    def finish(self) -> bytes:
        self.check(self._line)
        return self._line

    def check(self, line: bytes) -> None:
        if b"bad" in line:
            raise ValueError("a bad word")


def lend(
    stage: Stage, source: Line, sink: Line, transform: Transform, *, nbytes: int | None = None
) -> OneWayTunnel:
    return stage.lend(
        lambda: OneWayTunnel(stage.owner, source.vc, sink.vc, transform=transform, nbytes=nbytes)
    )


# -- what arrives ----------------------------------------------------------------------------


@pytest.mark.parametrize("times", [0, 1, 3])
def test_expanding_or_not_all_of_it_arrives(stage: Stage, times: int) -> None:
    source, sink = stage.lines()
    tunnel = lend(stage, source, sink, Stutter(times))
    source.peer.send(b"ab")
    stage.run()
    assert sink.peer.received == b"ab" * times
    source.peer.send(BULK)
    stage.run()
    assert len(sink.peer.received) == (2 + len(BULK)) * times
    assert tunnel.flow == Flow(
        source.name, sink.name, 2 + len(BULK), (2 + len(BULK)) * times
    )  # what was taken, and what was given for it


def test_shrinking_the_tail_comes_at_the_end(stage: Stage) -> None:
    source, sink = stage.lines()
    deflate = Deflate()
    lend(stage, source, sink, deflate)
    source.peer.send(b"hello")
    stage.run()
    assert b"hello" not in zlib.decompressobj().decompress(sink.peer.received), "still held back"
    source.peer.send(BULK)
    source.peer.end()
    stage.run()
    assert zlib.decompress(sink.peer.received) == b"hello" + BULK
    assert sink.peer.ended
    assert deflate.finished == 1
    assert stage.done.reason is Reason.EOS
    [flow] = stage.done.flows
    assert (flow.received, flow.sent) == (5 + len(BULK), len(sink.peer.received))


def test_a_tail_may_be_all_there_is(stage: Stage) -> None:
    source, sink = stage.lines()
    lend(stage, source, sink, Deflate())
    source.peer.end()
    stage.run()
    assert zlib.decompress(sink.peer.received) == b""
    assert sink.peer.ended


def test_the_tail_waits_for_a_slow_sink_like_all_else(stage: Stage) -> None:
    source, sink = stage.lines()
    verified = Verified()
    lend(stage, source, sink, verified)
    sink.peer.stall()
    source.peer.send(OWED + b"the tail")
    source.peer.end()
    stage.run()
    assert stage.owner.heard == []
    sink.peer.resume()
    stage.run()
    assert sink.peer.received == OWED + b"the tail"
    assert stage.done.reason is Reason.EOS


def test_a_buffer_that_was_read_already_goes_through_it_too(stage: Stage) -> None:
    source, sink = stage.lines()
    source.peer.send(b"ab")
    _, reader = stage.read(source)
    stage.run()
    stage.lend(
        lambda: OneWayTunnel(
            stage.owner, source.vc, sink.vc, reader=reader, transform=Stutter(2), nbytes=3
        )
    )
    source.peer.send(b"cd")
    stage.run()
    assert sink.peer.received == b"ababcc"
    assert stage.done.reason is Reason.COMPLETE


def test_each_direction_has_its_own() -> None:
    stage = Stage()
    client, server = stage.lines()
    stage.lend(
        lambda: TwoWayTunnel(
            stage.owner, client.vc, server.vc, upward=Stutter(2), downward=Deflate()
        )
    )
    client.peer.send(b"hey")
    server.peer.send(BULK)
    server.peer.end()
    stage.run()
    assert server.peer.received == b"heyhey"
    assert zlib.decompress(client.peer.received) == BULK


# -- goals and other ends --------------------------------------------------------------------


def test_the_goal_counts_what_is_taken_and_the_tail_belongs_to_it(stage: Stage) -> None:
    source, sink = stage.lines()
    lend(stage, source, sink, Deflate(), nbytes=len(BULK))
    source.peer.send(BULK + b"not this")
    stage.run()
    assert zlib.decompress(sink.peer.received) == BULK
    assert not sink.peer.ended
    assert stage.done.reason is Reason.COMPLETE
    assert stage.read_all(source) == b"not this"


def test_recalled_what_it_holds_back_is_given_out(stage: Stage) -> None:
    source, sink = stage.lines()
    tunnel = lend(stage, source, sink, Deflate())
    source.peer.send(b"hello")
    stage.run()
    with stage.held():
        tunnel.recall()
    stage.run()
    assert zlib.decompress(sink.peer.received) == b"hello"
    assert stage.done.reason is Reason.RECALLED


def test_a_truncated_source_gets_no_tail(stage: Stage) -> None:
    source, sink = stage.lines()
    lend(stage, source, sink, Sealed(), nbytes=len(BULK) + 1)
    source.peer.send(BULK)
    source.peer.end()
    stage.run()
    assert stage.done.reason is Reason.TRUNCATED
    assert BULK.startswith(sink.peer.received), "or the sink would take it for complete"


def test_a_broken_source_gets_no_tail(stage: Stage) -> None:
    for taken in range(1, 20):  # the error comes before the sink's WRITE_READY, and after it
        source, sink = stage.lines()
        lend(stage, source, sink, Sealed())
        source.peer.send(BULK)
        while len(sink.peer.received) < taken * len(BULK) // 20:
            stage.sim.step()
        source.peer.reset()
        stage.run()
        assert stage.owner.done.pop().reason is Reason.ERROR
        assert BULK.startswith(sink.peer.received)


@pytest.mark.parametrize("seed", range(20))
def test_the_end_is_the_end_only_once_it_is_told(seed: int) -> None:
    """The sink's engine may run between the source's end and its news."""
    stage = Stage(seed, engines=2)
    source, sink = stage.lines()
    lend(stage, source, sink, Sealed(), nbytes=len(BULK) + 1)
    source.peer.send(BULK)
    source.peer.end()
    stage.run()
    assert stage.done.reason is Reason.TRUNCATED
    assert BULK.startswith(sink.peer.received)


def test_stopped_its_buffers_hold_nothing(stage: Stage) -> None:
    source, sink = stage.lines()
    tunnel = lend(stage, source, sink, Stutter(2))
    sink.peer.stall()
    source.peer.send(BULK)
    stage.run()
    assert any(engine.memory.used for engine in stage.engines)
    with stage.held():
        tunnel.stop()
    stage.run()
    assert stage.done.reason is Reason.STOPPED
    assert not any(engine.memory.used for engine in stage.engines)


# -- too slow --------------------------------------------------------------------------------


def test_expanding_before_a_stalled_sink_both_buffers_are_bounded(stage: Stage) -> None:
    source, sink = stage.lines()
    lend(stage, source, sink, Stutter(10))
    sink.peer.stall()
    source.peer.send(4 * BULK)
    stage.run_within(BUFFER + SLAB + 10 * CHUNK)
    assert source.peer.sent < 4 * NETWORK
    sink.peer.resume()
    stage.run_within(BUFFER + SLAB + 10 * CHUNK)
    assert len(sink.peer.received) == 40 * len(BULK)


def test_a_transform_that_only_swallows_keeps_reading(stage: Stage) -> None:
    source, sink = stage.lines()
    lend(stage, source, sink, Stutter(0))
    sink.peer.stall()
    source.peer.send(4 * BULK)
    stage.run_within(BUFFER)
    assert source.peer.sent == 4 * len(BULK)


# -- mistakes --------------------------------------------------------------------------------


def test_what_raises_ends_its_conversation_closed_and_nothing_of_it_passes(stage: Stage) -> None:
    source, sink = stage.lines()
    lend(stage, source, sink, Verified())
    source.peer.send(b"good\nfine\n")
    stage.run()
    source.peer.send(b"also good\nbad\nmore\n")
    with pytest.raises(ValueError, match="a bad word"):
        stage.run()
    stage.run()
    assert sink.peer.received == b"good\nfine\n"
    assert sink.peer.reset_seen
    assert source.peer.reset_seen
    assert stage.owner.heard == [], "nothing is delivered to a conversation that has ended"
    assert not any(engine.vcs for engine in stage.engines)
    [(_, level, text)] = stage.sim.log
    assert level == "error"
    assert "OneWayTunnel @ RELAYING> failed; its conversation is closed" in text
    assert "OneWayTunnel @ RELAYING got 'READ_READY' from OS" in text, "its history"


def test_a_tail_that_raises_does_not_pass_either(stage: Stage) -> None:
    source, sink = stage.lines()
    lend(stage, source, sink, Verified())
    source.peer.send(b"good\nbad")
    stage.run()
    source.peer.end()
    with pytest.raises(ValueError, match="a bad word"):
        stage.run()
    stage.run()
    assert sink.peer.received == b"good\n"
    assert sink.peer.reset_seen
    assert not sink.peer.ended
    assert stage.owner.heard == []
