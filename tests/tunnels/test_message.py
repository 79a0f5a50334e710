"""MessageTunnel: one message of many on a connection; and what is said before it.

A test that takes `stage` runs on one engine, bridges allowed or not, and between two.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcproxy.testing.machines import check_machine
from vcproxy.tunnels.done import Reason
from vcproxy.tunnels.message import MessageTunnel
from vcproxy.tunnels.one_way import OneWayTunnel

from .stage import BUFFER, BULK, NETWORK, Stage


class Line:
    """Lets all pass up to the first end of line, in capitals."""

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


def test_the_machine() -> None:
    assert check_machine(MessageTunnel) == check_machine(OneWayTunnel)


@pytest.mark.parametrize("way", ["send", "end", "reset"])
def test_it_ends_where_the_message_does(stage: Stage, way: str) -> None:
    source, sink = stage.lines()
    message = Line()
    source.peer.send(b"hello\nthere")
    if way != "send":
        getattr(source.peer, way)()
    tunnel = stage.lend(lambda: MessageTunnel(stage.owner, source.vc, sink.vc, message))
    stage.run()
    if way == "reset":  # what was in flight is lost with it
        assert stage.done.reason in (Reason.COMPLETE, Reason.ERROR)
        return
    assert stage.done.reason is Reason.COMPLETE
    assert sink.peer.received == b"HELLO\n"
    assert not sink.peer.ended
    assert tunnel.rest == b"there"
    assert message.finished == 0


def test_messages_one_after_the_other(stage: Stage) -> None:
    source, sink = stage.lines()
    source.peer.send(b"one\n")
    for n, word in enumerate((b"two\n", b"three\n", b"")):
        tunnel = stage.lend(lambda: MessageTunnel(stage.owner, source.vc, sink.vc, Line()))
        stage.run()
        assert len(stage.owner.done) == n + 1
        assert tunnel.rest == b""
        source.peer.send(word)
    assert sink.peer.received == b"ONE\nTWO\nTHREE\n"
    assert stage.engine.memory.used == 0


def test_a_source_that_ends_first(stage: Stage) -> None:
    source, sink = stage.lines()
    message = Line()
    tunnel = stage.lend(lambda: MessageTunnel(stage.owner, source.vc, sink.vc, message))
    source.peer.send(b"hel")
    stage.run()
    source.peer.send(b"lo")
    source.peer.end()
    stage.run()
    assert stage.done.reason is Reason.EOS
    assert sink.peer.received == b"HELLO(the end)"
    assert not sink.peer.ended  # for its owner to judge
    assert message.finished == 1
    assert tunnel.rest == b""


def test_a_source_that_breaks(stage: Stage) -> None:
    source, sink = stage.lines()
    message = Line()
    stage.lend(lambda: MessageTunnel(stage.owner, source.vc, sink.vc, message))
    source.peer.send(b"hel")
    stage.run()
    source.peer.reset()
    stage.run()
    assert stage.done.reason is Reason.ERROR
    assert stage.done.ended_by == source.name
    assert message.finished == 0


def test_a_message_that_is_larger_than_all_buffers(stage: Stage) -> None:
    source, sink = stage.lines()
    sink.peer.stall()
    source.peer.send(BULK.replace(b"\n", b" ") + b"\n" + b"next")
    tunnel = stage.lend(lambda: MessageTunnel(stage.owner, source.vc, sink.vc, Line()))
    stage.run_within(2 * BUFFER)
    assert source.peer.sent < len(BULK)
    sink.peer.resume()
    stage.run_within(2 * BUFFER)
    assert stage.done.reason is Reason.COMPLETE
    assert sink.peer.received == BULK.replace(b"\n", b" ").upper() + b"\n"
    assert tunnel.rest == b"next"


def test_what_is_said_before_all_else(stage: Stage) -> None:
    source, sink = stage.lines()
    source.peer.send(b"hello\n")
    stage.lend(
        lambda: MessageTunnel(stage.owner, source.vc, sink.vc, Line(), opening=b"you said: ")
    )
    stage.run()
    assert sink.peer.received == b"you said: HELLO\n"


@pytest.mark.parametrize("opening", [b"said before: ", BULK[:100_000]])
def test_an_opening_counts_as_given_only(stage: Stage, opening: bytes) -> None:
    source, sink = stage.lines()
    source.peer.send(BULK[:NETWORK])
    stage.lend(
        lambda: OneWayTunnel(
            stage.owner, source.vc, sink.vc, nbytes=200_000, opening=opening, watch=False
        )
    )
    stage.run()
    assert stage.done.reason is Reason.COMPLETE
    assert sink.peer.received == opening + BULK[:200_000]
    [flow] = stage.done.flows
    assert (flow.received, flow.sent) == (200_000, len(opening) + 200_000)
    assert not sink.peer.ended


def test_an_opening_and_then_nothing(stage: Stage) -> None:
    source, sink = stage.lines()
    stage.lend(
        lambda: OneWayTunnel(
            stage.owner, source.vc, sink.vc, nbytes=5, opening=b"head", watch=False
        )
    )
    stage.run()
    assert sink.peer.received == b"head"
    source.peer.end()
    stage.run()
    assert stage.done.reason is Reason.TRUNCATED


@given(st.lists(st.binary(max_size=20), max_size=6), st.booleans())
def test_whatever_the_pieces(pieces: list[bytes], end: bool) -> None:
    stage = Stage()
    source, sink = stage.lines()
    message = Line()
    tunnel = stage.lend(lambda: MessageTunnel(stage.owner, source.vc, sink.vc, message))
    for piece in pieces:
        source.peer.send(piece)
        stage.run()
    if end:
        source.peer.end()
        stage.run()
    line, found, rest = b"".join(pieces).partition(b"\n")
    if found:
        assert stage.done.reason is Reason.COMPLETE
        assert sink.peer.received == line.upper() + found
        assert rest.startswith(tunnel.rest)
    elif end:
        assert stage.done.reason is Reason.EOS
        assert sink.peer.received == line.upper() + b"(the end)"
    else:
        assert stage.owner.done == []
        assert sink.peer.received == line.upper()
