"""Check: who is well, by TCP, TLS and HTTP, and when that is believed."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from trustme import CA, KeyType

from vcproxy.drivers.sim import NetworkFaults, Peer, Simulation
from vcproxy.drivers.tls_context import client_context, server_context
from vcproxy.engine.address import Address
from vcproxy.http.message.probe import HttpProbe
from vcproxy.testing.machines import check_machine
from vcproxy.upstream.check import Check
from vcproxy.upstream.server import Server
from vcproxy.upstream.settings import Checking, Pooling, UpstreamSettings
from vcproxy.upstream.upstream import Upstream

PLACE = Address("tcp", "app", 1)


class World:
    """An upstream of one server that is checked."""

    def __init__(self, sim: Simulation, terms: Checking, tls: object = None) -> None:
        self.sim = sim
        self.engine = sim.driver().engine
        self.app = Server(PLACE, tls)
        self.asked: list[bytes] = []
        self.upstream = Upstream(
            self.engine, "app", [self.app], UpstreamSettings(check=terms, pool=Pooling(idle=2))
        )

    def serve(self, answer: bytes | None = None, tls: ssl.SSLContext | None = None) -> None:
        """Have the server from now on."""

        def connected(peer: Peer) -> None:
            def heard(data: bytes) -> None:
                self.asked.append(data)
                if answer is not None:
                    peer.send(answer)

            peer.on_data = heard
            peer.on_end = peer.close

        self.sim.server(PLACE, connected, tls)

    def vanish(self) -> None:
        """Have it refuse."""
        network = self.sim.network
        network.unlisten(network._acceptors[("app", 1, "")])

    @property
    def log(self) -> list[str]:
        return [text for _, _, text in self.sim.log]


@pytest.fixture
def sim() -> Iterator[Simulation]:
    with Simulation(0) as sim:
        yield sim


def test_a_server_goes_down_and_comes_up_after_so_many_checks(sim: Simulation) -> None:
    world = World(sim, Checking(interval=5.0, rise=2, fall=3))
    world.serve()
    sim.elapse(12.0)
    assert world.app.up
    world.vanish()
    sim.elapse(14.0)
    assert (world.app.up, world.log) == (False, [
        "upstream app: tcp://app:1 is down: 3 checks in a row have failed, now: tcp://app:1: "
        "connection refused; 0 of 1 are up",
    ])  # fmt: skip
    world.serve()
    sim.elapse(5.1)
    assert not world.app.up
    sim.elapse(5.1)
    assert world.app.up
    assert world.log[1:] == [
        "upstream app: tcp://app:1 is up: 2 checks in a row have passed; 1 of 1 are up"
    ]


def test_checks_that_fail_now_and_then_are_no_outage(sim: Simulation) -> None:
    world = World(sim, Checking(interval=1.0, fall=2))
    for _ in range(5):
        world.serve()
        sim.elapse(1.0)
        world.vanish()
        sim.elapse(1.0)
    assert world.log == []


def test_one_that_does_not_answer_in_time_is_ill(sim: Simulation) -> None:
    world = World(sim, Checking(interval=5.0, timeout=2.0, fall=1))
    world.serve()
    sim.network.partition(60.0)
    sim.elapse(1.9)
    assert world.app.up
    sim.elapse(0.2)
    assert world.log == [
        "upstream app: tcp://app:1 is down: a check has failed, now: no connection within 2s; "
        "0 of 1 are up"
    ]


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.mark.parametrize(("answer", "status", "why"), [
    (OK, (), None),
    (b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK, (), None),
    (OK, (204,), "it answers 200"),
    (b"HTTP/1.0 404 Not Found\r\n\r\n", (404,), None),
    (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", (), "it answers 503"),
    (b"220 mail.example ESMTP\r\n\r\n", (), "no HTTP: "),
    (b"HTTP/1.1 200 OK\r\n", (), "no answer within 2s"),
])  # fmt: skip
def test_an_answer_in_http_is_judged_by_its_status(
    sim: Simulation, answer: bytes, status: tuple[int, ...], why: str | None
) -> None:
    world = World(sim, Checking(probe=HttpProbe("/health?deep", status=status), fall=1))
    world.serve(answer)
    sim.elapse(3.0)
    assert world.asked == [
        b"GET /health?deep HTTP/1.1\r\nHost: app\r\n"
        b"User-Agent: vcproxy\r\nConnection: close\r\n\r\n"
    ]
    if why is None:
        assert world.app.up
    else:
        [line] = world.log
        assert f"a check has failed, now: {why}" in line


def test_a_request_that_goes_in_pieces_is_one_request() -> None:
    with Simulation(0, NetworkFaults(one_byte=1.0)) as sim:
        world = World(sim, Checking(probe=HttpProbe(), fall=1, interval=5.0))
        world.serve()
        sim.elapse(1.5)
        request = b"GET / HTTP/1.1\r\nHost: app\r\nUser-Agent: vcproxy\r\nConnection: close\r\n\r\n"
        assert world.asked == [bytes([octet]) for octet in request]
        assert world.log == []
        sim.elapse(1.0)
        [line] = world.log
        assert "no answer within 2s" in line, "the time for the answer ran on"


@pytest.mark.parametrize(("speaks", "why"), [
    ("tls", None),
    ("plain", "a check has failed, now: "),
    ("another name", "certificate"),
])  # fmt: skip
def test_a_handshake_is_more_than_a_connection(
    sim: Simulation, tmp_path: Path, speaks: str, why: str | None
) -> None:
    ca = CA(key_type=KeyType.RSA)
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    leaf = ca.issue_cert("app" if speaks == "tls" else "other", key_type=KeyType.RSA)
    leaf.private_key_and_cert_chain_pem.write_to_path(tmp_path / "app.pem")
    world = World(sim, Checking(handshake=True, fall=1), tls=client_context(ca=tmp_path / "ca.pem"))
    server = server_context(tmp_path / "app.pem", tmp_path / "app.pem")
    world.serve(tls=None if speaks == "plain" else server)
    sim.elapse(3.0)
    if why is None:
        assert world.log == []
    else:
        [line] = world.log
        assert why in line


def test_a_stopped_check_leaves_nothing(sim: Simulation) -> None:
    world = World(sim, Checking(interval=5.0))
    world.serve()
    sim.elapse(3.0)
    world.engine.inbox.post(world.upstream.close)
    sim.run()
    assert sim.now < 20.0
    assert not world.engine.vcs


def test_every_state_takes_what_may_reach_it() -> None:
    asked = ["READ_READY", "WRITE_READY", "WRITE_COMPLETE", "EOS"]  # of the connection, if any
    assert check_machine(Check) == {
        *(f"{state} {key}" for state in ("CHECKING", "CONNECTING", "RESTING") for key in asked),
        *(f"{state} AGAIN" for state in ("CHECKING", "CONNECTING", "ASKING")),
        "CHECKING CONNECTED", "CHECKING ERROR", "CHECKING LATE", "ASKING CONNECTED",
    }  # fmt: skip
