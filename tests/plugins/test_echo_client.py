"""echo_client: its trace is equal to the original's, with scripted servers and with echo_server."""

from __future__ import annotations

import pytest

from tests.plugins.staged import PLACE, Staged
from vcproxy.drivers.sim import NetworkFaults, Peer, Simulation, seeds
from vcproxy.plugins.echo_client import EchoClient, Options, Terminator, Worker
from vcproxy.plugins.echo_server import EchoServer
from vcproxy.plugins.echo_server import Options as ServerOptions
from vcproxy.testing.machines import check_machine

STARTED = """\
RX-1 @ INIT got 'M0' from SELF
TX-1 @ INIT got 'M0' from SELF
WORKER-1 @ INIT got 'M0' from SELF
TERMINATOR-1 @ INIT got 'M0' from SELF
"""
CONNECTING = """\
TX-1 @ IDLE got 'M1' from WORKER-1
TX-1 @ IDLE got 'M0' from SELF
"""
CONNECTED = """\
TX-1 @ WORK got 'D1' from OS
TX-1 @ WORK got 'M0' from SELF
WORKER-1 @ CONN got 'M1' from TX-1
WORKER-1 : connected to '127.0.0.1:3333'
WORKER-1 @ CONN got 'M0' from SELF
"""
FAILED = """\
TX-1 @ WORK got 'D2' from OS
TX-1 @ WORK got 'M0' from SELF
WORKER-1 @ CONN got 'M2' from TX-1
WORKER-1 : can not connect to '127.0.0.1:3333'
WORKER-1 @ CONN got 'M3' from SELF
"""
REQUESTED = """\
TX-1 @ IDLE got 'M1' from WORKER-1
TX-1 @ IDLE got 'M0' from SELF
TX-1 @ WORK got 'D1' from OS
TX-1 @ WORK got 'M0' from SELF
WORKER-1 @ SEND got 'M1' from TX-1
WORKER-1 @ SEND got 'M0' from SELF
RX-1 @ IDLE got 'M1' from WORKER-1
RX-1 @ IDLE got 'M0' from SELF
"""
REPLIED = """\
RX-1 @ WORK got 'D0' from OS
RX-1 @ WORK got 'M0' from SELF
WORKER-1 @ RECV got 'M1' from RX-1
reply: WORKER-1-{number}
WORKER-1 @ RECV got 'M0' from SELF
"""
PAUSED = "WORKER-1 @ TWIX got 'T0' from OS\n"
FAILED_REPLY = """\
RX-1 @ WORK got '{tag}' from OS
RX-1 @ WORK got 'M0' from SELF
WORKER-1 @ RECV got 'M2' from RX-1
WORKER-1 @ RECV got 'M3' from SELF
"""
WAITED = "WORKER-1 @ WAIT got 'T0' from OS\n"


def one_worker(sim: Simulation) -> Staged:
    client = Staged(sim, EchoClient, Options(workers=1))
    assert client.new_lines() == STARTED + CONNECTING
    return client


def echo(peer: Peer) -> None:
    peer.on_data = peer.send


def test_requests_and_replies_twice_a_second() -> None:
    with Simulation(seed=1) as sim:
        sim.server(PLACE, echo)
        client = one_worker(sim)
        sim.elapse(0.4)
        assert client.new_lines() == CONNECTED + REQUESTED + REPLIED.format(number=1)
        sim.elapse(0.5)
        assert client.new_lines() == PAUSED + REQUESTED + REPLIED.format(number=2)
        sim.elapse(9.0)
        assert client.lines.count("reply: WORKER-1-7") == 1
        assert sum(line.startswith("reply:") for line in client.lines) == 18


def test_it_connects_again_five_seconds_after_a_refusal() -> None:
    with Simulation(seed=1) as sim:
        client = one_worker(sim)
        sim.elapse(4.9)
        assert client.new_lines() == FAILED
        sim.server(PLACE, echo)
        sim.elapse(0.4)
        assert client.new_lines() == WAITED + CONNECTING + CONNECTED + REQUESTED + REPLIED.format(
            number=1
        )


def test_it_connects_again_after_the_server_closed_and_numbers_continue() -> None:
    with Simulation(seed=1) as sim:
        server = sim.server(PLACE)
        client = one_worker(sim)
        sim.elapse(1)
        assert client.new_lines() == CONNECTED + REQUESTED
        server.peers[0].end()
        sim.elapse(1)
        assert client.new_lines() == FAILED_REPLY.format(tag="D2")
        sim.elapse(5)
        assert server.peers[1].received == b"WORKER-1-2\n"


def test_a_reply_times_out_after_ten_seconds() -> None:
    with Simulation(seed=1) as sim:
        sim.server(PLACE)
        client = one_worker(sim)
        sim.elapse(9.9)
        assert client.new_lines() == CONNECTED + REQUESTED
        sim.elapse(0.2)
        assert client.new_lines() == FAILED_REPLY.format(tag="T0")


def test_a_reply_cannot_forge_a_line_of_the_trace() -> None:
    def forge(peer: Peer) -> None:
        peer.send(b"\x1b[2J\nTERMINATOR-1 @ IDLE got 'S0' from OS\n")

    with Simulation(seed=1) as sim:
        sim.server(PLACE, forge)
        client = one_worker(sim)
        sim.elapse(0.4)
        assert r"reply: \x1b[2J\nTERMINATOR-1 @ IDLE got 'S0' from OS" in client.lines


def test_a_signal_ends_it() -> None:
    with Simulation(seed=1) as sim:
        server = sim.server(PLACE, echo)
        client = one_worker(sim)
        sim.elapse(0.1)
        client.new_lines()
        client.signal(2, 1234)
        sim.run(until=lambda: server.peers[0].ended)
        assert client.new_lines() == (
            "TERMINATOR-1 @ IDLE got 'S0' from OS\ngot signal #2 from PID 1234\n"
        )
        sim.elapse(20)
        assert client.new_lines() == ""


def test_the_last_machine_made_is_the_first_taken() -> None:
    with Simulation(seed=1) as sim:
        client = Staged(sim, EchoClient, Options())
        assert [line for line in client.lines if "@ IDLE got 'M1'" in line] == [
            f"TX-{5 - n} @ IDLE got 'M1' from WORKER-{n}" for n in (1, 2, 3, 4)
        ]


def test_server_and_client_exchange_lines_for_a_minute() -> None:
    with Simulation(seed=3) as sim:
        server = Staged(sim, EchoServer, ServerOptions())
        client = Staged(sim, EchoClient, Options())
        sim.elapse(60)
        replies = [line for line in client.lines if line.startswith("reply")]
        assert len(replies) == 4 * 120
        assert replies.count("reply: WORKER-3-120") == 1
        assert len([line for line in server.lines if line.startswith("<<<")]) == 4 * 120


@pytest.mark.parametrize("seed", [*seeds(3)])
def test_server_and_client_on_a_bad_network(seed: int) -> None:
    with Simulation(seed, NetworkFaults.all()) as sim:
        server = Staged(sim, EchoServer, ServerOptions(clients=6), net_threads=1 + seed % 2)
        client = Staged(sim, EchoClient, Options())
        sim.elapse(120)
        replies = [line for line in client.lines if line.startswith("reply")]
        assert len(replies) > 40
        assert len(set(replies)) == len(replies)
        client.signal(15, 1)
        server.signal(15, 1)
        sim.run()
        assert not any(engine.vcs for engine in server.engines + client.engines)


def test_the_events_that_cannot_reach_its_machines() -> None:
    assert check_machine(Terminator) == {"INIT S0", "INIT S1", "IDLE M0"}
    assert check_machine(Worker) >= {"TWIX M1", "WAIT M2", "RECV T0"}
