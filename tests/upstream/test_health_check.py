"""HealthCheck: checks by TCP, TLS and HTTP, and the number of results that change a server's
state."""

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
from vcproxy.upstream.health_check import HealthCheck
from vcproxy.upstream.server import Server
from vcproxy.upstream.settings import CheckSettings, PoolSettings, UpstreamSettings
from vcproxy.upstream.upstream import Upstream

ADDRESS = Address("tcp", "app", 1)


class World:
    """An upstream of one server that is checked."""

    def __init__(self, sim: Simulation, settings: CheckSettings, tls: object = None) -> None:
        self.sim = sim
        self.engine = sim.driver().engine
        self.app = Server(ADDRESS, tls)
        self.requests: list[bytes] = []
        self.upstream = Upstream(
            self.engine,
            "app",
            [self.app],
            UpstreamSettings(check=settings, pool=PoolSettings(idle=2)),
        )

    def serve(self, answer: bytes | None = None, tls: ssl.SSLContext | None = None) -> None:
        """Start the server."""

        def connected(peer: Peer) -> None:
            def received(data: bytes) -> None:
                self.requests.append(data)
                if answer is not None:
                    peer.send(answer)

            peer.on_data = received
            peer.on_end = peer.close

        self.sim.server(ADDRESS, connected, tls)

    def vanish(self) -> None:
        """Stop the server: connections are refused."""
        network = self.sim.network
        network.unlisten(network._acceptors[("app", 1, "")])

    @property
    def log(self) -> list[str]:
        return [text for _, _, text in self.sim.log]


@pytest.fixture
def sim() -> Iterator[Simulation]:
    with Simulation(0) as sim:
        yield sim


def test_a_server_changes_after_several_equal_results(sim: Simulation) -> None:
    world = World(sim, CheckSettings(interval=5.0, rise=2, fall=3))
    world.serve()
    sim.elapse(12.0)
    assert world.app.up
    world.vanish()
    sim.elapse(14.0)
    assert (world.app.up, world.log) == (False, [
        "upstream app: tcp://app:1 is down: 3 health checks in a row failed: tcp://app:1: "
        "connection refused; 0 of 1 servers are up",
    ])  # fmt: skip
    world.serve()
    sim.elapse(5.1)
    assert not world.app.up
    sim.elapse(5.1)
    assert world.app.up
    assert world.log[1:] == [
        "upstream app: tcp://app:1 is up: 2 health checks in a row passed; 1 of 1 servers are up"
    ]


def test_single_failures_are_no_outage(sim: Simulation) -> None:
    world = World(sim, CheckSettings(interval=1.0, fall=2))
    for _ in range(5):
        world.serve()
        sim.elapse(1.0)
        world.vanish()
        sim.elapse(1.0)
    assert world.log == []


def test_a_slow_server_is_unhealthy(sim: Simulation) -> None:
    world = World(sim, CheckSettings(interval=5.0, timeout=2.0, fall=1))
    world.serve()
    sim.network.partition(60.0)
    sim.elapse(1.9)
    assert world.app.up
    sim.elapse(0.2)
    assert world.log == [
        "upstream app: tcp://app:1 is down: health check failed: timed out: no connection "
        "within 2s; 0 of 1 servers are up"
    ]


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.mark.parametrize(("answer", "status", "why"), [
    (OK, (), None),
    (b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK, (), None),
    (OK, (204,), "status 200"),
    (b"HTTP/1.0 404 Not Found\r\n\r\n", (404,), None),
    (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", (), "status 503"),
    (b"220 mail.example ESMTP\r\n\r\n", (), "not HTTP: "),
    (b"HTTP/1.1 200 OK\r\n", (), "timed out: no response within 2s"),
])  # fmt: skip
def test_a_response_is_judged_by_its_status(
    sim: Simulation, answer: bytes, status: tuple[int, ...], why: str | None
) -> None:
    world = World(sim, CheckSettings(probe=HttpProbe("/health?deep", status=status), fall=1))
    world.serve(answer)
    sim.elapse(3.0)
    assert world.requests == [
        b"GET /health?deep HTTP/1.1\r\nHost: app\r\n"
        b"User-Agent: vcproxy\r\nConnection: close\r\n\r\n"
    ]
    if why is None:
        assert world.app.up
    else:
        [line] = world.log
        assert f"health check failed: {why}" in line


def test_a_request_sent_in_pieces() -> None:
    with Simulation(0, NetworkFaults(one_byte=1.0)) as sim:
        world = World(sim, CheckSettings(probe=HttpProbe(), fall=1, interval=5.0))
        world.serve()
        sim.elapse(1.5)
        request = b"GET / HTTP/1.1\r\nHost: app\r\nUser-Agent: vcproxy\r\nConnection: close\r\n\r\n"
        assert world.requests == [bytes([octet]) for octet in request]
        assert world.log == []
        sim.elapse(1.0)
        [line] = world.log
        assert "no response within 2s" in line, "the timeout covers the response"


@pytest.mark.parametrize(("server_kind", "why"), [
    ("tls", None),
    ("plain", "health check failed: "),
    ("another name", "certificate"),
])  # fmt: skip
def test_a_check_with_a_handshake(
    sim: Simulation, tmp_path: Path, server_kind: str, why: str | None
) -> None:
    ca = CA(key_type=KeyType.RSA)
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    leaf = ca.issue_cert("app" if server_kind == "tls" else "other", key_type=KeyType.RSA)
    leaf.private_key_and_cert_chain_pem.write_to_path(tmp_path / "app.pem")
    world = World(
        sim, CheckSettings(handshake=True, fall=1), tls=client_context(ca=tmp_path / "ca.pem")
    )
    server = server_context(tmp_path / "app.pem", tmp_path / "app.pem")
    world.serve(tls=None if server_kind == "plain" else server)
    sim.elapse(3.0)
    if why is None:
        assert world.log == []
    else:
        [line] = world.log
        assert why in line


def test_a_stopped_check_leaves_no_connection(sim: Simulation) -> None:
    world = World(sim, CheckSettings(interval=5.0))
    world.serve()
    sim.elapse(3.0)
    world.engine.inbox.post(world.upstream.close)
    sim.run()
    assert sim.now < 20.0
    assert not world.engine.vcs


def test_the_machine_handles_every_event() -> None:
    response = ["READ_READY", "WRITE_READY", "WRITE_COMPLETE", "EOS"]  # events of the connection
    assert check_machine(HealthCheck) == {
        *(f"{state} {key}" for state in ("CHECKING", "CONNECTING", "WAITING") for key in response),
        *(f"{state} NEXT" for state in ("CHECKING", "CONNECTING", "PROBING")),
        "CHECKING CONNECTED", "CHECKING ERROR", "CHECKING TIMED_OUT", "PROBING CONNECTED",
    }  # fmt: skip
