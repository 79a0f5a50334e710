"""MessageTunnel: ends after one message, while its source continues; `opening` is sent first.

A test that takes `harness` runs on one engine, bridges allowed or not, and between two.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcproxy.testing.machines import check_machine
from vcproxy.tunnels.done import Reason
from vcproxy.tunnels.message import MessageTunnel
from vcproxy.tunnels.one_way import OneWayTunnel

from .harness import BUFFER, BULK, NETWORK, Harness


class FirstLine:
    """Passes everything up to the first end of line, in capitals."""

    def __init__(self) -> None:
        self.over = False
        self.rest = b""
        self.finished = 0

    def feed(self, data: bytes) -> bytes:
        line, end, self.rest = data.partition(b"\n")
        self.over = bool(end)
        return line.upper() + end

    def finish(self) -> bytes:
        self.finished += 1
        return b"(the end)"


def test_its_states_are_those_of_one_way_tunnel() -> None:
    assert check_machine(MessageTunnel) == check_machine(OneWayTunnel)


@pytest.mark.parametrize("way", ["send", "end", "reset"])
def test_it_ends_with_the_message(harness: Harness, way: str) -> None:
    source, sink = harness.lines()
    message = FirstLine()
    source.peer.send(b"hello\nthere")
    if way != "send":
        getattr(source.peer, way)()
    tunnel = harness.lend(lambda: MessageTunnel(harness.owner, source.vc, sink.vc, message))
    harness.run()
    if way == "reset":  # bytes in flight are lost with the reset
        assert harness.done.reason in (Reason.COMPLETE, Reason.ERROR)
        return
    assert harness.done.reason is Reason.COMPLETE
    assert sink.peer.received == b"HELLO\n"
    assert not sink.peer.ended
    assert tunnel.rest == b"there"
    assert message.finished == 0


def test_messages_one_after_the_other(harness: Harness) -> None:
    source, sink = harness.lines()
    source.peer.send(b"one\n")
    for n, word in enumerate((b"two\n", b"three\n", b"")):
        tunnel = harness.lend(lambda: MessageTunnel(harness.owner, source.vc, sink.vc, FirstLine()))
        harness.run()
        assert len(harness.owner.done) == n + 1
        assert tunnel.rest == b""
        source.peer.send(word)
    assert sink.peer.received == b"ONE\nTWO\nTHREE\n"
    assert harness.engine.memory.used == 0


def test_a_source_that_ends_before_the_message(harness: Harness) -> None:
    source, sink = harness.lines()
    message = FirstLine()
    tunnel = harness.lend(lambda: MessageTunnel(harness.owner, source.vc, sink.vc, message))
    source.peer.send(b"hel")
    harness.run()
    source.peer.send(b"lo")
    source.peer.end()
    harness.run()
    assert harness.done.reason is Reason.EOS
    assert sink.peer.received == b"HELLO(the end)"
    assert not sink.peer.ended  # the owner decides whether the message was complete
    assert message.finished == 1
    assert tunnel.rest == b""


def test_a_source_that_fails(harness: Harness) -> None:
    source, sink = harness.lines()
    message = FirstLine()
    harness.lend(lambda: MessageTunnel(harness.owner, source.vc, sink.vc, message))
    source.peer.send(b"hel")
    harness.run()
    source.peer.reset()
    harness.run()
    assert harness.done.reason is Reason.ERROR
    assert harness.done.ended_by == source.name
    assert message.finished == 0


def test_a_message_that_is_larger_than_all_buffers(harness: Harness) -> None:
    source, sink = harness.lines()
    sink.peer.stall()
    source.peer.send(BULK.replace(b"\n", b" ") + b"\n" + b"next")
    tunnel = harness.lend(lambda: MessageTunnel(harness.owner, source.vc, sink.vc, FirstLine()))
    harness.run_within(2 * BUFFER)
    assert source.peer.sent < len(BULK)
    sink.peer.resume()
    harness.run_within(2 * BUFFER)
    assert harness.done.reason is Reason.COMPLETE
    assert sink.peer.received == BULK.replace(b"\n", b" ").upper() + b"\n"
    assert tunnel.rest == b"next"


def test_an_opening_is_sent_first(harness: Harness) -> None:
    source, sink = harness.lines()
    source.peer.send(b"hello\n")
    harness.lend(
        lambda: MessageTunnel(harness.owner, source.vc, sink.vc, FirstLine(), opening=b"reply: ")
    )
    harness.run()
    assert sink.peer.received == b"reply: HELLO\n"


@pytest.mark.parametrize("opening", [b"sent before: ", BULK[:100_000]])
def test_an_opening_counts_as_sent_only(harness: Harness, opening: bytes) -> None:
    source, sink = harness.lines()
    source.peer.send(BULK[:NETWORK])
    harness.lend(
        lambda: OneWayTunnel(
            harness.owner, source.vc, sink.vc, nbytes=200_000, opening=opening, watch=False
        )
    )
    harness.run()
    assert harness.done.reason is Reason.COMPLETE
    assert sink.peer.received == opening + BULK[:200_000]
    [flow] = harness.done.flows
    assert (flow.received, flow.sent) == (200_000, len(opening) + 200_000)
    assert not sink.peer.ended


def test_an_opening_is_sent_before_the_source_sends(harness: Harness) -> None:
    source, sink = harness.lines()
    harness.lend(
        lambda: OneWayTunnel(
            harness.owner, source.vc, sink.vc, nbytes=5, opening=b"head", watch=False
        )
    )
    harness.run()
    assert sink.peer.received == b"head"
    source.peer.end()
    harness.run()
    assert harness.done.reason is Reason.TRUNCATED


@given(st.lists(st.binary(max_size=20), max_size=6), st.booleans())
def test_random_pieces_give_the_same_message(pieces: list[bytes], end: bool) -> None:
    harness = Harness()
    source, sink = harness.lines()
    message = FirstLine()
    tunnel = harness.lend(lambda: MessageTunnel(harness.owner, source.vc, sink.vc, message))
    for piece in pieces:
        source.peer.send(piece)
        harness.run()
    if end:
        source.peer.end()
        harness.run()
    line, found, rest = b"".join(pieces).partition(b"\n")
    if found:
        assert harness.done.reason is Reason.COMPLETE
        assert sink.peer.received == line.upper() + found
        assert rest.startswith(tunnel.rest)
    elif end:
        assert harness.done.reason is Reason.EOS
        assert sink.peer.received == line.upper() + b"(the end)"
    else:
        assert harness.owner.done == []
        assert sink.peer.received == line.upper()
