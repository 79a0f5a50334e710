"""TwoWayTunnel: client and server speak and leave, the owner hears one TunnelDone.

A test that takes `stage` runs copied, bridged and between two engines.
"""

from __future__ import annotations

import pytest

from vcproxy.testing.machines import check_machine
from vcproxy.tunnels.done import Flow, Reason
from vcproxy.tunnels.two_way import TwoWayTunnel

from .stage import BUFFER, BULK, NETWORK, OWED, Line, Stage


def lend(stage: Stage, client: Line, server: Line, *, half_close: bool = True) -> TwoWayTunnel:
    return stage.lend(
        lambda: TwoWayTunnel(stage.owner, client.vc, server.vc, half_close=half_close, name="call")
    )


def test_each_hears_what_the_other_says(stage: Stage) -> None:
    client, server = stage.lines()
    lend(stage, client, server)
    client.peer.send(BULK)
    server.peer.send(BULK[::-1])
    stage.run()
    assert server.peer.received == BULK
    assert client.peer.received == BULK[::-1]
    assert stage.owner.heard == []


def test_each_opening_goes_to_its_side_before_all_else(stage: Stage) -> None:
    client, server = stage.lines()
    client.peer.send(b"said early")
    server.peer.send(b"answered early")
    openings = b"to the server: ", b"to the client: "
    stage.lend(lambda: TwoWayTunnel(stage.owner, client.vc, server.vc, openings=openings))
    stage.run()
    assert server.peer.received == b"to the server: said early"
    assert client.peer.received == b"to the client: answered early"


# -- ends in order ---------------------------------------------------------------------------


@pytest.mark.parametrize("first", ["client", "server"])
def test_one_side_has_ended_and_the_other_goes_on(stage: Stage, first: str) -> None:
    client, server = stage.lines()
    lend(stage, client, server)
    leaves, stays = (client, server) if first == "client" else (server, client)
    leaves.peer.send(BULK)
    leaves.peer.end()
    stage.run()
    assert stays.peer.received == BULK
    assert stays.peer.ended
    assert not leaves.peer.ended
    assert stage.owner.heard == []
    stays.peer.send(BULK + b"bye")
    stays.peer.end()
    stage.run()
    assert leaves.peer.received == BULK + b"bye"
    assert leaves.peer.ended
    assert stage.done.reason is Reason.EOS
    assert stage.done.ended_by == stays.name, "the last that ended"
    up, down = len(BULK), len(BULK) + 3
    if first == "server":
        up, down = down, up
    assert stage.done.flows == (
        Flow(client.name, server.name, up, up),
        Flow(server.name, client.name, down, down),
    )


def test_without_half_close_the_first_end_ends_both(stage: Stage) -> None:
    client, server = stage.lines()
    lend(stage, client, server, half_close=False)
    client.peer.send(BULK)
    client.peer.end()
    stage.run()
    assert server.peer.received == BULK
    assert server.peer.ended
    assert stage.done.reason is Reason.EOS
    assert stage.done.ended_by == client.name
    server.peer.send(b"too late")
    stage.run()
    assert client.peer.received == b""


def test_without_half_close_what_is_buffered_still_arrives(stage: Stage) -> None:
    client, server = stage.lines()
    lend(stage, client, server, half_close=False)
    server.peer.stall()
    client.peer.send(OWED)
    client.peer.end()
    stage.run()
    server.peer.send(b"while you wait")
    stage.run()
    assert client.peer.received == b"while you wait", "it is no end before it is flushed"
    server.peer.resume()
    stage.run()
    assert server.peer.received == OWED
    assert stage.done.reason is Reason.EOS


# -- ends out of order -----------------------------------------------------------------------


@pytest.mark.parametrize("first", ["client", "server"])
def test_a_direction_that_is_terminated_terminates_the_other(stage: Stage, first: str) -> None:
    client, server = stage.lines()
    lend(stage, client, server)
    client.peer.send(BULK)
    server.peer.send(BULK)
    stage.run()
    broken = client if first == "client" else server
    broken.peer.reset()
    stage.run()
    assert stage.done.reason is Reason.ERROR
    assert stage.done.ended_by == broken.name
    assert isinstance(stage.done.error, ConnectionResetError)
    assert [flow.sent for flow in stage.done.flows] == [len(BULK), len(BULK)]
    assert not client.vc.closed
    assert not server.vc.closed


def test_an_error_after_one_side_ended_is_the_verdict(stage: Stage) -> None:
    client, server = stage.lines()
    lend(stage, client, server)
    client.peer.end()
    stage.run()
    server.peer.reset()
    stage.run()
    assert stage.done.reason is Reason.ERROR
    assert stage.done.ended_by == server.name


def test_silence_of_one_vc_ends_both_directions(stage: Stage) -> None:
    client, server = stage.lines()
    with stage.held():
        client.vc.set_inactivity_timeout(10.0)
    lend(stage, client, server)
    for _ in range(3):  # what the server says is activity of the client's VC, too
        server.peer.send(BULK)
        stage.sim.elapse(9.0)
    assert stage.owner.heard == []
    stage.run()
    assert stage.done.reason is Reason.INACTIVITY
    assert stage.done.ended_by == client.name
    assert stage.sim.now == pytest.approx(18.0 + 10.0)


def test_a_half_that_flushes_to_nobody_times_out(stage: Stage) -> None:
    client, server = stage.lines()
    with stage.held():
        client.vc.set_inactivity_timeout(10.0)
    lend(stage, client, server)
    server.peer.stall()
    client.peer.send(OWED)
    client.peer.end()
    stage.run()
    assert stage.done.reason is Reason.INACTIVITY


def test_it_may_not_last_longer_than_its_time(stage: Stage) -> None:
    client, server = stage.lines()
    with stage.held():
        server.vc.set_active_timeout(10.0)
    lend(stage, client, server)
    for _ in range(3):
        server.peer.send(BULK)
        stage.sim.elapse(4.0)
    assert stage.done.reason is Reason.ACTIVE
    assert stage.done.ended_by == server.name


# -- for owners ------------------------------------------------------------------------------


@pytest.mark.parametrize("half_close", [True, False])
def test_recalled_it_gives_back_everything(stage: Stage, half_close: bool) -> None:
    client, server = stage.lines()
    tunnel = lend(stage, client, server, half_close=half_close)
    client.peer.stall()
    server.peer.send(BULK)
    stage.run()
    client.peer.send(BULK)
    stage.run(until=lambda: len(server.peer.received) > len(BULK) // 2)
    with stage.held():
        tunnel.recall()
    stage.run()
    assert stage.owner.heard == [], "the client has not taken all that is its own"
    client.peer.resume()
    stage.run()
    assert stage.done.reason is Reason.RECALLED
    assert all(flow.received == flow.sent for flow in stage.done.flows)
    assert server.peer.received + stage.read_all(client) == BULK
    assert client.peer.received + stage.read_all(server) == BULK
    stage.say(client, b"hello again")
    stage.run()
    assert client.peer.received.endswith(b"hello again")


def test_recalled_after_one_side_ended(stage: Stage) -> None:
    client, server = stage.lines()
    tunnel = lend(stage, client, server)
    client.peer.end()
    stage.run()
    with stage.held():
        tunnel.recall()
    stage.run()
    assert stage.done.reason is Reason.RECALLED
    assert stage.done.ended_by == server.name
    server.peer.send(b"for the owner")
    assert stage.read_all(server) == b"for the owner"


def test_stopped_both_directions_end_at_once(stage: Stage) -> None:
    client, server = stage.lines()
    tunnel = lend(stage, client, server)
    for line in (client, server):
        line.peer.stall()
        line.peer.send(BULK)
    stage.run()
    with stage.held():
        tunnel.stop()
    stage.run()
    assert stage.done.reason is Reason.STOPPED
    assert stage.done.ended_by.startswith("call")
    assert all(engine.memory.used == 0 for engine in stage.engines)


def test_a_request_that_was_read_already_is_not_lost(stage: Stage) -> None:
    client, server = stage.lines()
    client.peer.send(b"CONNECT server\nhello ")
    _, request = stage.read(client)
    stage.run()
    assert request.read(15) == b"CONNECT server\n"
    client.peer.send(BULK)
    stage.lend(lambda: TwoWayTunnel(stage.owner, client.vc, server.vc, request=request))
    server.peer.send(b"welcome")
    stage.run()
    assert server.peer.received == b"hello " + BULK
    assert client.peer.received == b"welcome"


def test_an_owner_takes_the_lines_back_and_lends_them_again(stage: Stage) -> None:
    client, server = stage.lines()
    first = lend(stage, client, server)
    client.peer.send(BULK)
    stage.run()
    with stage.held():
        first.recall()
    stage.run()
    client.peer.send(b"SWITCH\n" + BULK)
    _, reader = stage.read(client)
    stage.run(until=lambda: reader.avail >= 7)
    assert reader.read(7) == b"SWITCH\n"
    stage.say(client, b"switched\n")
    stage.run(until=lambda: client.peer.received == b"switched\n")
    stage.lend(lambda: TwoWayTunnel(stage.owner, client.vc, server.vc, request=reader))
    server.peer.send(b"hello")
    stage.run()
    assert server.peer.received == BULK + BULK
    assert client.peer.received == b"switched\nhello"
    assert [done.reason for done in stage.owner.done] == [Reason.RECALLED]


# -- backpressure ----------------------------------------------------------------------------


def test_who_does_not_read_holds_up_the_other_and_not_itself(stage: Stage) -> None:
    client, server = stage.lines()
    lend(stage, client, server)
    server.peer.stall()
    client.peer.send(10 * BULK)
    server.peer.send(BULK)
    stage.run_within(2 * BUFFER)
    assert client.peer.received == BULK, "the other direction is not held up"
    assert client.peer.sent < 5 * NETWORK
    server.peer.resume()
    stage.run()
    assert server.peer.received == 10 * BULK


def test_every_state_takes_what_may_reach_it() -> None:
    assert check_machine(TwoWayTunnel) == set()
