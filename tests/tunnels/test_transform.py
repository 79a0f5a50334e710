"""Transform: its output and its tail reach the sink, and nothing else.

A test that takes `harness` runs on one engine, bridges allowed or not, and between two.
"""

from __future__ import annotations

import zlib

import pytest

from vcproxy.engine.blocks import SLAB
from vcproxy.tunnels.done import Flow, Reason
from vcproxy.tunnels.one_way import CHUNK, OneWayTunnel
from vcproxy.tunnels.transform import Transform
from vcproxy.tunnels.two_way import TwoWayTunnel

from .harness import BACKLOG, BUFFER, BULK, NETWORK, Harness, Line


class Repeat:
    """Repeats every piece: the output is longer."""

    def __init__(self, times: int) -> None:
        self.times = times

    def feed(self, data: bytes) -> bytes:
        return data * self.times

    def finish(self) -> bytes:
        return b""


class Deflate:
    """Compresses: the output is shorter, comes later, and has a tail."""

    def __init__(self) -> None:
        self._deflate = zlib.compressobj()
        self.finished = 0

    def feed(self, data: bytes) -> bytes:
        return self._deflate.compress(data)

    def finish(self) -> bytes:
        self.finished += 1
        return self._deflate.flush()


class Sealed:
    """Passes everything, and adds a seal at the end."""

    def feed(self, data: bytes) -> bytes:
        return data

    def finish(self) -> bytes:
        return b"SEAL"


class Verified:
    """Passes whole lines, and raises at a line with a bad word."""

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
    harness: Harness, source: Line, sink: Line, transform: Transform, *, nbytes: int | None = None
) -> OneWayTunnel:
    return harness.lend(
        lambda: OneWayTunnel(harness.owner, source.vc, sink.vc, transform=transform, nbytes=nbytes)
    )


# -- what arrives ----------------------------------------------------------------------------


@pytest.mark.parametrize("times", [0, 1, 3])
def test_longer_and_shorter_output_arrives(harness: Harness, times: int) -> None:
    source, sink = harness.lines()
    tunnel = lend(harness, source, sink, Repeat(times))
    source.peer.send(b"ab")
    harness.run()
    assert sink.peer.received == b"ab" * times
    source.peer.send(BULK)
    harness.run()
    assert len(sink.peer.received) == (2 + len(BULK)) * times
    assert tunnel.flow == Flow(
        source.name, sink.name, 2 + len(BULK), (2 + len(BULK)) * times
    )  # received from the source, and sent to the sink


def test_the_tail_is_sent_at_the_end(harness: Harness) -> None:
    source, sink = harness.lines()
    deflate = Deflate()
    lend(harness, source, sink, deflate)
    source.peer.send(b"hello")
    harness.run()
    assert b"hello" not in zlib.decompressobj().decompress(sink.peer.received), (
        "the transform still has it"
    )
    source.peer.send(BULK)
    source.peer.end()
    harness.run()
    assert zlib.decompress(sink.peer.received) == b"hello" + BULK
    assert sink.peer.ended
    assert deflate.finished == 1
    assert harness.done.reason is Reason.EOS
    [flow] = harness.done.flows
    assert (flow.received, flow.sent) == (5 + len(BULK), len(sink.peer.received))


def test_the_output_may_be_a_tail_only(harness: Harness) -> None:
    source, sink = harness.lines()
    lend(harness, source, sink, Deflate())
    source.peer.end()
    harness.run()
    assert zlib.decompress(sink.peer.received) == b""
    assert sink.peer.ended


def test_the_tail_waits_for_a_slow_sink(harness: Harness) -> None:
    source, sink = harness.lines()
    verified = Verified()
    lend(harness, source, sink, verified)
    sink.peer.stall()
    source.peer.send(BACKLOG + b"the tail")
    source.peer.end()
    harness.run()
    assert harness.owner.events == []
    sink.peer.resume()
    harness.run()
    assert sink.peer.received == BACKLOG + b"the tail"
    assert harness.done.reason is Reason.EOS


def test_bytes_in_the_buffer_are_transformed_too(harness: Harness) -> None:
    source, sink = harness.lines()
    source.peer.send(b"ab")
    _, reader = harness.read(source)
    harness.run()
    harness.lend(
        lambda: OneWayTunnel(
            harness.owner, source.vc, sink.vc, reader=reader, transform=Repeat(2), nbytes=3
        )
    )
    source.peer.send(b"cd")
    harness.run()
    assert sink.peer.received == b"ababcc"
    assert harness.done.reason is Reason.COMPLETE


def test_each_direction_has_its_own_transform() -> None:
    harness = Harness()
    client, server = harness.lines()
    harness.lend(
        lambda: TwoWayTunnel(
            harness.owner, client.vc, server.vc, upward=Repeat(2), downward=Deflate()
        )
    )
    client.peer.send(b"hey")
    server.peer.send(BULK)
    server.peer.end()
    harness.run()
    assert server.peer.received == b"heyhey"
    assert zlib.decompress(client.peer.received) == BULK


# -- nbytes and other ends --------------------------------------------------------------------


def test_nbytes_counts_input_and_the_tail_is_sent(harness: Harness) -> None:
    source, sink = harness.lines()
    lend(harness, source, sink, Deflate(), nbytes=len(BULK))
    source.peer.send(BULK + b"not this")
    harness.run()
    assert zlib.decompress(sink.peer.received) == BULK
    assert not sink.peer.ended
    assert harness.done.reason is Reason.COMPLETE
    assert harness.read_all(source) == b"not this"


def test_recall_sends_the_tail(harness: Harness) -> None:
    source, sink = harness.lines()
    tunnel = lend(harness, source, sink, Deflate())
    source.peer.send(b"hello")
    harness.run()
    with harness.held():
        tunnel.recall()
    harness.run()
    assert zlib.decompress(sink.peer.received) == b"hello"
    assert harness.done.reason is Reason.RECALLED


def test_a_truncated_source_gets_no_tail(harness: Harness) -> None:
    source, sink = harness.lines()
    lend(harness, source, sink, Sealed(), nbytes=len(BULK) + 1)
    source.peer.send(BULK)
    source.peer.end()
    harness.run()
    assert harness.done.reason is Reason.TRUNCATED
    assert BULK.startswith(sink.peer.received), "the sink must not take it for complete"


def test_a_failed_source_gets_no_tail(harness: Harness) -> None:
    # so that the error comes before the sink's WRITE_READY in some cases, and after it in others
    for part in range(1, 20):
        source, sink = harness.lines()
        lend(harness, source, sink, Sealed())
        source.peer.send(BULK)
        while len(sink.peer.received) < part * len(BULK) // 20:
            harness.sim.step()
        source.peer.reset()
        harness.run()
        assert harness.owner.done.pop().reason is Reason.ERROR
        assert BULK.startswith(sink.peer.received)


@pytest.mark.parametrize("seed", range(20))
def test_the_source_has_not_ended_before_its_event(seed: int) -> None:
    """The sink's engine may run between the source's end and the event."""
    harness = Harness(seed, engines=2)
    source, sink = harness.lines()
    lend(harness, source, sink, Sealed(), nbytes=len(BULK) + 1)
    source.peer.send(BULK)
    source.peer.end()
    harness.run()
    assert harness.done.reason is Reason.TRUNCATED
    assert BULK.startswith(sink.peer.received)


def test_stop_releases_both_buffers(harness: Harness) -> None:
    source, sink = harness.lines()
    tunnel = lend(harness, source, sink, Repeat(2))
    sink.peer.stall()
    source.peer.send(BULK)
    harness.run()
    assert any(engine.memory.used for engine in harness.engines)
    with harness.held():
        tunnel.stop()
    harness.run()
    assert harness.done.reason is Reason.STOPPED
    assert not any(engine.memory.used for engine in harness.engines)


# -- too slow --------------------------------------------------------------------------------


def test_both_buffers_are_bounded_before_a_stalled_sink(harness: Harness) -> None:
    source, sink = harness.lines()
    lend(harness, source, sink, Repeat(10))
    sink.peer.stall()
    source.peer.send(4 * BULK)
    harness.run_within(BUFFER + SLAB + 10 * CHUNK)
    assert source.peer.sent < 4 * NETWORK
    sink.peer.resume()
    harness.run_within(BUFFER + SLAB + 10 * CHUNK)
    assert len(sink.peer.received) == 40 * len(BULK)


def test_a_transform_without_output_keeps_reading(harness: Harness) -> None:
    source, sink = harness.lines()
    lend(harness, source, sink, Repeat(0))
    sink.peer.stall()
    source.peer.send(4 * BULK)
    harness.run_within(BUFFER)
    assert source.peer.sent == 4 * len(BULK)


# -- mistakes --------------------------------------------------------------------------------


def test_a_feed_that_raises_closes_the_conversation(harness: Harness) -> None:
    source, sink = harness.lines()
    lend(harness, source, sink, Verified())
    source.peer.send(b"good\nfine\n")
    harness.run()
    source.peer.send(b"also good\nbad\nmore\n")
    with pytest.raises(ValueError, match="a bad word"):
        harness.run()
    harness.run()
    assert sink.peer.received == b"good\nfine\n"
    assert sink.peer.reset_seen
    assert source.peer.reset_seen
    assert harness.owner.events == [], "nothing is delivered to a conversation that has ended"
    assert not any(engine.vcs for engine in harness.engines)
    [(_, level, text)] = harness.sim.log
    assert level == "error"
    assert "OneWayTunnel @ RELAYING> failed; its conversation is closed" in text
    assert "OneWayTunnel @ RELAYING got 'READ_READY' from OS" in text, "its history"


def test_a_finish_that_raises_closes_the_conversation(harness: Harness) -> None:
    source, sink = harness.lines()
    lend(harness, source, sink, Verified())
    source.peer.send(b"good\nbad")
    harness.run()
    source.peer.end()
    with pytest.raises(ValueError, match="a bad word"):
        harness.run()
    harness.run()
    assert sink.peer.received == b"good\n"
    assert sink.peer.reset_seen
    assert not sink.peer.ended
    assert harness.owner.events == []
