"""echo_server: its trace is equal to the original's; and tests of the cases in which it behaves
better."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, blocks
from tests.plugins.staged import PLACE, Staged
from vcproxy.config.loader import load
from vcproxy.drivers.sim import Simulation, seeds
from vcproxy.engine.listener import Listener as EngineListener
from vcproxy.machine.trace import chart
from vcproxy.plugins.echo_server import EchoServer, Listener, Options, Worker
from vcproxy.sessions.service import Service
from vcproxy.sessions.transfer import Rx, Tx
from vcproxy.testing.machines import check_machine

STARTED = """\
RX-1 @ INIT got 'M0' from SELF
RX-2 @ INIT got 'M0' from SELF
RX-3 @ INIT got 'M0' from SELF
RX-4 @ INIT got 'M0' from SELF
TX-1 @ INIT got 'M0' from SELF
TX-2 @ INIT got 'M0' from SELF
TX-3 @ INIT got 'M0' from SELF
TX-4 @ INIT got 'M0' from SELF
WORKER-1 @ INIT got 'M0' from SELF
WORKER-2 @ INIT got 'M0' from SELF
WORKER-3 @ INIT got 'M0' from SELF
WORKER-4 @ INIT got 'M0' from SELF
LISTENER-1 @ INIT got 'M0' from SELF

Hello! I am 'LISTENER-1' on port 3333.
"""
CONNECTED = """\
LISTENER-1 @ WORK got 'D0' from OS
WORKER-4 @ IDLE got 'M1' from LISTENER-1
WORKER-4 @ IDLE got 'M0' from SELF
RX-4 @ IDLE got 'M1' from WORKER-4
RX-4 @ IDLE got 'M0' from SELF
"""
ECHOED = """\
RX-4 @ WORK got 'D0' from OS
<<< 4 bytes: { 49, 50, 51, 10 }
RX-4 @ WORK got 'M0' from SELF
WORKER-4 @ RECV got 'M1' from RX-4
WORKER-4 @ RECV got 'M0' from SELF
TX-4 @ IDLE got 'M1' from WORKER-4
TX-4 @ IDLE got 'M0' from SELF
TX-4 @ WORK got 'D1' from OS
TX-4 @ WORK got 'M0' from SELF
WORKER-4 @ SEND got 'M1' from TX-4
WORKER-4 @ SEND got 'M0' from SELF
RX-4 @ IDLE got 'M1' from WORKER-4
RX-4 @ IDLE got 'M0' from SELF
"""
DISCONNECTED = """\
RX-4 @ WORK got 'D2' from OS
RX-4 @ WORK got 'M0' from SELF
WORKER-4 @ RECV got 'M2' from RX-4
WORKER-4 @ FAIL got 'M0' from SELF
LISTENER-1 @ WORK got 'M0' from WORKER-4
"""
TIMED_OUT = DISCONNECTED.replace("'D2'", "'T0'")


def echo_server(sim: Simulation) -> Staged:
    server = Staged(sim, EchoServer, Options())
    assert server.new_lines() == STARTED
    return server


def test_the_trace_of_a_client_from_connect_to_reset() -> None:
    with Simulation(seed=1) as sim:
        server = echo_server(sim)
        client = sim.client(PLACE)
        sim.elapse(1)
        assert server.new_lines() == CONNECTED
        client.send(b"123\n")
        sim.elapse(1)
        assert client.received == b"123\n"
        assert server.new_lines() == ECHOED
        client.reset()
        sim.elapse(1)
        assert server.new_lines() == DISCONNECTED


def test_a_silent_client_is_closed_after_ten_seconds() -> None:
    with Simulation(seed=1) as sim:
        server = echo_server(sim)
        client = sim.client(PLACE)
        sim.run(until=lambda: client.ended)
        assert sim.now == 10.0
        assert server.new_lines() == CONNECTED + TIMED_OUT


@pytest.mark.parametrize(("number", "tag"), [(2, "S0"), (15, "S1")])
def test_a_signal_ends_it(number: int, tag: str) -> None:
    with Simulation(seed=1) as sim:
        server = echo_server(sim)
        client = sim.client(PLACE)
        sim.elapse(1)
        assert server.new_lines() == CONNECTED
        server.signal(number, 1234)
        sim.run(until=lambda: client.ended)
        assert server.new_lines() == (
            f"LISTENER-1 @ WORK got '{tag}' from OS\n"
            f"got signal #{number} from PID 1234\n"
            "Bye! It was 'LISTENER-1'.\n"
        )
        late = sim.client(PLACE)
        sim.run(until=lambda: late.ended)
        assert server.new_lines() == ""


def test_a_fifth_client_is_closed_until_another_ends() -> None:
    with Simulation(seed=1) as sim:
        server = echo_server(sim)
        clients = [sim.client(PLACE) for _ in range(4)]
        sim.elapse(1)
        server.new_lines()
        fifth = sim.client(PLACE)
        sim.run(until=lambda: fifth.ended)
        assert server.new_lines() == (
            "LISTENER-1 @ WORK got 'D0' from OS\nLISTENER-1 @ WORK got 'M0' from SELF\n"
        )
        clients[2].close()
        sim.elapse(0.1)
        sixth = sim.client(PLACE)
        sixth.send(b"here\n")
        sim.run(until=lambda: sixth.received == b"here\n")


@pytest.mark.parametrize(
    ("pieces", "echoed"),
    [
        ([b"ab", b"cd\n"], b"abcd\n"),
        ([b"1\n2\n3\n"], b"1\n2\n3\n"),
        ([b"cd\nef"], b""),
        ([b"cd\nef", b"\n"], b"cd\nef\n"),
        ([b"x" * 63 + b"\n"], b"x" * 63 + b"\n"),
    ],
)
def test_a_request_ends_with_a_newline_at_the_end_of_what_was_read(
    pieces: list[bytes], echoed: bytes
) -> None:
    with Simulation(seed=1) as sim:
        echo_server(sim)
        client = sim.client(PLACE)
        for piece in pieces:
            client.send(piece)
            sim.elapse(0.1)
        sim.elapse(1)
        assert client.received == echoed
        assert not client.ended


def test_a_line_that_is_too_long_fails_at_once() -> None:
    """The original retries reads of 0 bytes until its timeout."""
    with Simulation(seed=1) as sim:
        server = echo_server(sim)
        client = sim.client(PLACE)
        sim.elapse(1)
        server.new_lines()
        client.send(b"x" * 65 + b"\n")
        sim.elapse(1)
        assert client.ended or client.reset_seen
        assert client.received == b""
        shown = f"<<< 64 bytes: {{ {', '.join(['120'] * 64)} }}\n"
        assert server.new_lines() == DISCONNECTED.replace(
            "'D2' from OS\n", f"'D0' from OS\n{shown}"
        )


def test_a_request_that_arrives_together_with_the_end_is_served() -> None:
    """The original handles the end first: the request is lost, and the client is reset."""
    with Simulation(seed=1) as sim:
        server = echo_server(sim)
        client = sim.client(PLACE)
        client.send(b"123\n")
        client.end()
        sim.run(until=lambda: client.ended)
        assert client.received == b"123\n"
        assert server.new_lines() == CONNECTED + ECHOED + DISCONNECTED


@pytest.mark.parametrize("seed", [*seeds(5)])
def test_many_clients_connect_and_close(seed: int) -> None:
    with Simulation(seed) as sim:
        server = echo_server(sim)
        for number in range(20):
            clients = [sim.client(PLACE) for _ in range(4)]
            for client in clients:
                client.send(b"%d\n" % number)
            sim.elapse(0.1)
            assert [bytes(client.received) for client in clients] == [b"%d\n" % number] * 4
            for client in sim.random.sample(clients, 4):
                client.reset() if sim.random.random() < 0.5 else client.close()
            sim.elapse(0.1)
        assert not any(engine.vcs for engine in server.engines)


def test_without_a_free_rx_the_client_is_closed() -> None:
    with Simulation(seed=1) as sim:
        driver, lines = sim.driver(), list[str]()
        program = EchoServer(driver.engine, Service("echo", options=Options()), lines.append)
        driver.listen(PLACE, EngineListener("echo", program.accept, driver.engine))
        with program.mutex.hold(driver.engine):
            program.start()
        while program.receivers.take():
            pass
        client = sim.client(PLACE)
        sim.run(until=lambda: client.ended)
        assert lines[-3:] == [
            "WORKER-4 @ RECV got 'M2' from SELF",
            "WORKER-4 @ FAIL got 'M0' from SELF",
            "LISTENER-1 @ WORK got 'M0' from WORKER-4",
        ]


def test_the_page_shows_this_trace() -> None:
    page = ROOT / "docs" / "design" / "staged-machines.md"
    *_, shown = blocks(page, "text")
    assert ECHOED.startswith(shown.text)
    assert chart(shown.text.splitlines()) in [block.text for block in blocks(page, "mermaid")]


def test_the_events_that_cannot_reach_its_machines() -> None:
    assert check_machine(Rx) >= {"IDLE D0", "IDLE T0", "INIT M1"}
    assert check_machine(Tx) >= {"IDLE D1", "INIT M1"}
    assert "WORK M1" not in check_machine(Listener)
    assert check_machine(Worker) == {
        "INIT M1", "INIT M2", "IDLE M2", "FAIL M1", "FAIL M2",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["server", "client"])
def test_its_configuration_shows_the_defaults(name: str, tmp_path: Path) -> None:
    text = (ROOT / "conf" / f"echo-{name}.toml").read_text()
    plain, full = tmp_path / "plain.toml", tmp_path / "full.toml"
    plain.write_text(text)
    full.write_text(re.sub(r"^# (\w+ = )", r"\1", text, flags=re.MULTILINE))
    assert full.read_text() != text
    assert load(full) == load(plain)
