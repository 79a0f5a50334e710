"""TwoWayTunnel: bytes move both ways, and the owner receives one TunnelDone.

A test that takes `harness` runs copied, bridged and between two engines, and each of these with
plain directions and with machines from the beginning.
"""

from __future__ import annotations

import pytest

from vcproxy.engine.event import Event
from vcproxy.testing.machines import check_machine
from vcproxy.tunnels.done import Flow, Reason
from vcproxy.tunnels.one_way import OneWayTunnel
from vcproxy.tunnels.plain_direction import PlainDirection
from vcproxy.tunnels.two_way import TwoWayTunnel

from .harness import BACKLOG, BUFFER, BULK, NETWORK, Harness, Line


class WithMachines(TwoWayTunnel):
    """A subclass: each direction has a machine from the beginning."""


@pytest.fixture(autouse=True, params=[TwoWayTunnel, WithMachines])
def _two_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Harness, "two_way", request.param)


def lend(harness: Harness, client: Line, server: Line, *, half_close: bool = True) -> TwoWayTunnel:
    return harness.lend(
        lambda: harness.two_way(
            harness.owner, client.vc, server.vc, half_close=half_close, name="call"
        )
    )


def test_bytes_move_both_ways(harness: Harness) -> None:
    client, server = harness.lines()
    lend(harness, client, server)
    client.peer.send(BULK)
    server.peer.send(BULK[::-1])
    harness.run()
    assert server.peer.received == BULK
    assert client.peer.received == BULK[::-1]
    assert harness.owner.events == []


def test_each_opening_is_sent_first_to_its_side(harness: Harness) -> None:
    client, server = harness.lines()
    client.peer.send(b"sent early")
    server.peer.send(b"answered early")
    openings = b"to the server: ", b"to the client: "
    harness.lend(lambda: harness.two_way(harness.owner, client.vc, server.vc, openings=openings))
    harness.run()
    assert server.peer.received == b"to the server: sent early"
    assert client.peer.received == b"to the client: answered early"


# -- plain directions ------------------------------------------------------------------------


def test_an_orderly_conversation_needs_no_machines() -> None:
    harness = Harness()
    harness.two_way = TwoWayTunnel
    client, server = harness.lines()
    tunnel = lend(harness, client, server)
    client.peer.send(b"a question")
    client.peer.end()
    harness.run()
    server.peer.send(b"an answer")
    server.peer.end()
    harness.run()
    assert harness.done.reason is Reason.EOS
    assert [type(each) for each in (tunnel.up, tunnel.down)] == [PlainDirection] * 2


@pytest.mark.parametrize("event", ["error", "timeout", "stalled sink", "recall", "stop"])
def test_machines_take_over_at_any_other_event(event: str) -> None:
    harness = Harness()
    harness.two_way = TwoWayTunnel
    client, server = harness.lines()
    tunnel = lend(harness, client, server)
    client.peer.send(b"a question")
    client.peer.end()
    harness.run()
    if event == "error":
        server.peer.reset()
    elif event == "timeout":
        with harness.held():
            server.vc.set_inactivity_timeout(1.0)
    elif event == "stalled sink":
        client.peer.stall()
        server.peer.send(BACKLOG)
        server.peer.end()
    else:
        with harness.held():
            getattr(tunnel, event)()
    harness.run()
    assert isinstance(tunnel.up, PlainDirection), "it has ended before"
    assert isinstance(tunnel.down, OneWayTunnel)
    client.peer.resume()
    harness.run()
    assert harness.done.flows[0] == Flow(client.name, server.name, 10, 10)
    assert len(client.peer.received) == harness.done.flows[1].sent


# -- ends in order ---------------------------------------------------------------------------


@pytest.mark.parametrize("first", ["client", "server"])
def test_half_close(harness: Harness, first: str) -> None:
    client, server = harness.lines()
    lend(harness, client, server)
    ending, staying = (client, server) if first == "client" else (server, client)
    ending.peer.send(BULK)
    ending.peer.end()
    harness.run()
    assert staying.peer.received == BULK
    assert staying.peer.ended
    assert not ending.peer.ended
    assert harness.owner.events == []
    staying.peer.send(BULK + b"bye")
    staying.peer.end()
    harness.run()
    assert ending.peer.received == BULK + b"bye"
    assert ending.peer.ended
    assert harness.done.reason is Reason.EOS
    assert harness.done.ended_by == staying.name, "the last that ended"
    up, down = len(BULK), len(BULK) + 3
    if first == "server":
        up, down = down, up
    assert harness.done.flows == (
        Flow(client.name, server.name, up, up),
        Flow(server.name, client.name, down, down),
    )


def test_without_half_close_the_first_end_ends_both(harness: Harness) -> None:
    client, server = harness.lines()
    lend(harness, client, server, half_close=False)
    client.peer.send(BULK)
    client.peer.end()
    harness.run()
    assert server.peer.received == BULK
    assert server.peer.ended
    assert harness.done.reason is Reason.EOS
    assert harness.done.ended_by == client.name
    server.peer.send(b"too late")
    harness.run()
    assert client.peer.received == b""


def test_without_half_close_what_is_buffered_still_arrives(harness: Harness) -> None:
    client, server = harness.lines()
    lend(harness, client, server, half_close=False)
    server.peer.stall()
    client.peer.send(BACKLOG)
    client.peer.end()
    harness.run()
    server.peer.send(b"while you wait")
    harness.run()
    assert client.peer.received == b"while you wait", (
        "the first end takes effect when it is flushed"
    )
    server.peer.resume()
    harness.run()
    assert server.peer.received == BACKLOG
    assert harness.done.reason is Reason.EOS


# -- ends out of order -----------------------------------------------------------------------


@pytest.mark.parametrize("first", ["client", "server"])
def test_a_failed_direction_stops_the_other(harness: Harness, first: str) -> None:
    client, server = harness.lines()
    lend(harness, client, server)
    client.peer.send(BULK)
    server.peer.send(BULK)
    harness.run()
    failed = client if first == "client" else server
    failed.peer.reset()
    harness.run()
    assert harness.done.reason is Reason.ERROR
    assert harness.done.ended_by == failed.name
    assert isinstance(harness.done.error, ConnectionResetError)
    assert [flow.sent for flow in harness.done.flows] == [len(BULK), len(BULK)]
    assert not client.vc.closed
    assert not server.vc.closed


def test_an_error_after_one_side_ended_is_the_reason(harness: Harness) -> None:
    client, server = harness.lines()
    lend(harness, client, server)
    client.peer.end()
    harness.run()
    server.peer.reset()
    harness.run()
    assert harness.done.reason is Reason.ERROR
    assert harness.done.ended_by == server.name


def test_inactivity_of_one_vc_ends_both_directions(harness: Harness) -> None:
    client, server = harness.lines()
    with harness.held():
        client.vc.set_inactivity_timeout(10.0)
    lend(harness, client, server)
    for _ in range(3):  # data from the server counts as activity of the client's VC too
        server.peer.send(BULK)
        harness.sim.elapse(9.0)
    assert harness.owner.events == []
    harness.run()
    assert harness.done.reason is Reason.INACTIVITY
    assert harness.done.ended_by == client.name
    assert harness.sim.now == pytest.approx(18.0 + 10.0)


def test_flushing_to_a_stalled_server_times_out(harness: Harness) -> None:
    client, server = harness.lines()
    with harness.held():
        client.vc.set_inactivity_timeout(10.0)
    lend(harness, client, server)
    server.peer.stall()
    client.peer.send(BACKLOG)
    client.peer.end()
    harness.run()
    assert harness.done.reason is Reason.INACTIVITY


def test_the_active_timeout_ends_it(harness: Harness) -> None:
    client, server = harness.lines()
    with harness.held():
        server.vc.set_active_timeout(10.0)
    lend(harness, client, server)
    for _ in range(3):
        server.peer.send(BULK)
        harness.sim.elapse(4.0)
    assert harness.done.reason is Reason.ACTIVE
    assert harness.done.ended_by == server.name


# -- for owners ------------------------------------------------------------------------------


@pytest.mark.parametrize("half_close", [True, False])
def test_recall_loses_nothing(harness: Harness, half_close: bool) -> None:
    client, server = harness.lines()
    tunnel = lend(harness, client, server, half_close=half_close)
    client.peer.stall()
    server.peer.send(BULK)
    harness.run()
    client.peer.send(BULK)
    harness.run(until=lambda: len(server.peer.received) > len(BULK) // 2)
    with harness.held():
        tunnel.recall()
    harness.run()
    assert harness.owner.events == [], "the client has not taken everything yet"
    client.peer.resume()
    harness.run()
    assert harness.done.reason is Reason.RECALLED
    assert all(flow.received == flow.sent for flow in harness.done.flows)
    assert server.peer.received + harness.read_all(client) == BULK
    assert client.peer.received + harness.read_all(server) == BULK
    harness.write(client, b"hello again")
    harness.run()
    assert client.peer.received.endswith(b"hello again")


def test_recall_after_one_side_ended(harness: Harness) -> None:
    client, server = harness.lines()
    tunnel = lend(harness, client, server)
    client.peer.end()
    harness.run()
    with harness.held():
        tunnel.recall()
    harness.run()
    assert harness.done.reason is Reason.RECALLED
    assert harness.done.ended_by == server.name
    server.peer.send(b"for the owner")
    assert harness.read_all(server) == b"for the owner"


def test_stop_ends_both_directions_at_once(harness: Harness) -> None:
    client, server = harness.lines()
    tunnel = lend(harness, client, server)
    for line in (client, server):
        line.peer.stall()
        line.peer.send(BULK)
    harness.run()
    with harness.held():
        tunnel.stop()
    harness.run()
    assert harness.done.reason is Reason.STOPPED
    assert harness.done.ended_by.startswith("call")
    assert all(engine.memory.used == 0 for engine in harness.engines)


def test_a_request_that_was_read_already_is_sent_first(harness: Harness) -> None:
    client, server = harness.lines()
    client.peer.send(b"CONNECT server\nhello ")
    _, request = harness.read(client)
    harness.run()
    assert request.read(15) == b"CONNECT server\n"
    client.peer.send(BULK)
    harness.lend(lambda: harness.two_way(harness.owner, client.vc, server.vc, request=request))
    server.peer.send(b"welcome")
    harness.run()
    assert server.peer.received == b"hello " + BULK
    assert client.peer.received == b"welcome"


def test_an_owner_may_recall_and_lend_again(harness: Harness) -> None:
    client, server = harness.lines()
    first = lend(harness, client, server)
    client.peer.send(BULK)
    harness.run()
    with harness.held():
        first.recall()
    harness.run()
    client.peer.send(b"SWITCH\n" + BULK)
    _, reader = harness.read(client)
    harness.run(until=lambda: reader.avail >= 7)
    assert reader.read(7) == b"SWITCH\n"
    harness.write(client, b"switched\n")
    harness.run(until=lambda: client.peer.received == b"switched\n")
    harness.lend(lambda: harness.two_way(harness.owner, client.vc, server.vc, request=reader))
    server.peer.send(b"hello")
    harness.run()
    assert server.peer.received == BULK + BULK
    assert client.peer.received == b"switched\nhello"
    assert [done.reason for done in harness.owner.done] == [Reason.RECALLED]


# -- backpressure ----------------------------------------------------------------------------


def test_a_stalled_server_delays_only_the_direction_to_it(harness: Harness) -> None:
    client, server = harness.lines()
    lend(harness, client, server)
    server.peer.stall()
    client.peer.send(10 * BULK)
    server.peer.send(BULK)
    harness.run_within(2 * BUFFER)
    assert client.peer.received == BULK, "the other direction is not delayed"
    assert client.peer.sent < 5 * NETWORK
    server.peer.resume()
    harness.run()
    assert server.peer.received == 10 * BULK


def test_every_state_receives_every_event_that_may_come() -> None:
    assert check_machine(TwoWayTunnel) == {
        f"ENDING {event!r}"  # in ENDING the machines of both directions get these events
        for event in (Event.EOS, Event.ERROR, Event.INACTIVITY_TIMEOUT, Event.ACTIVE_TIMEOUT)
    }
