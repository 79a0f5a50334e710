"""TLS in simulation: the same filter as on a real socket, on a network with short reads."""

import ssl
from pathlib import Path
from typing import NamedTuple

import pytest
from trustme import CA, KeyType

from vcproxy.drivers.certificate_choice import Identity
from vcproxy.drivers.sim import NetworkFaults, Peer, SimDriver, Simulation
from vcproxy.drivers.sim.driver import TraceEntry
from vcproxy.drivers.tls_context import client_context, server_context
from vcproxy.engine.address import Address
from vcproxy.engine.event import Event
from vcproxy.engine.failures import TlsError
from vcproxy.engine.lifecycle import TLS_SIZE
from vcproxy.engine.listener import Listener
from vcproxy.engine.memory_pressure import PAUSE_S
from vcproxy.engine.net import NetVConnection

from .test_sim import TEXT, Caller, Echo

SITE = Address.parse("tls://site.example:443")


class Contexts(NamedTuple):
    client: ssl.SSLContext
    server: ssl.SSLContext


@pytest.fixture(scope="module")
def contexts(tmp_path_factory: pytest.TempPathFactory) -> Contexts:
    folder: Path = tmp_path_factory.mktemp("tls")
    ca = CA(key_type=KeyType.RSA)  # signatures of one length: runs repeat
    ca.cert_pem.write_to_path(str(folder / "ca.pem"))
    leaf = ca.issue_cert("site.example", key_type=KeyType.RSA)
    leaf.cert_chain_pems[0].write_to_path(str(folder / "site.pem"))
    leaf.private_key_pem.write_to_path(str(folder / "site.key"))
    identity = Identity(folder / "site.pem", folder / "site.key")
    return Contexts(client_context(ca=folder / "ca.pem"), server_context(*identity))


def echo_on(driver: SimDriver, contexts: Contexts) -> list[Echo]:
    made: list[Echo] = []

    def acceptor(vc: NetVConnection) -> Echo:
        made.append(Echo(vc))
        return made[-1]

    driver.listen(SITE, Listener("echo", acceptor, driver.engine, tls=contexts.server))
    return made


def test_a_client_is_echoed_over_tls_with_any_faults(contexts: Contexts) -> None:
    for seed in range(15):
        faults = NetworkFaults(latency=(0.0, 0.1), short=0.3, one_byte=0.1, lock_miss=0.2)
        with Simulation(seed, faults) as sim:
            driver = sim.driver()
            made = echo_on(driver, contexts)
            client = sim.client(SITE, contexts.client)
            client.send(TEXT)
            client.end()
            sim.run()
            assert client.received == TEXT
            assert client.ended
            assert not client.reset_seen
            assert made[0].vc.sni == "site.example"
            assert not driver.engine.vcs


def test_an_engine_connects_to_a_tls_server(contexts: Contexts) -> None:
    def script(peer: Peer) -> None:
        peer.send(b"hello")
        peer.end()

    with Simulation(1) as sim:
        sim.server(SITE, script, contexts.server)
        caller = Caller(sim.driver())
        with caller.mutex.hold(caller.engine):
            vc = caller.engine.connect(caller, SITE, tls=contexts.client)
        sim.run()
        assert caller.events == [Event.CONNECTED]
        buffer = caller.engine.buffer()
        reader = buffer.reader()
        with caller.mutex.hold(caller.engine):
            vc.do_io_read(caller, None, buffer)
        sim.run()
        assert caller.events == [Event.CONNECTED, Event.READ_READY, Event.EOS]
        assert reader.read() == b"hello"


def test_a_server_with_another_name_is_refused(contexts: Contexts) -> None:
    with Simulation(1) as sim:
        server = sim.server(SITE, tls=contexts.server)
        caller = Caller(sim.driver())
        with caller.mutex.hold(caller.engine):
            vc = caller.engine.connect(
                caller, SITE, tls=contexts.client, server_name="other.example"
            )
        sim.run()
        assert caller.events == [Event.ERROR]
        assert "certificate" in str(vc.error)
        assert isinstance(server.peers[0].error, TlsError)


def test_an_end_without_close_notify_is_an_error(contexts: Contexts) -> None:
    with Simulation(1) as sim:
        made = echo_on(sim.driver(), contexts)
        client = sim.client(SITE, contexts.client)
        client.send(b"hello")
        sim.run()
        client.truncate()
        sim.run()
        assert client.received == b"hello"
        assert made[0].events[-1] is Event.ERROR
        assert "without close_notify" in str(made[0].vc.read_error)
        assert made[0].vc.error is None  # the other direction still works


def test_plaintext_on_a_tls_port_is_logged_and_closed(contexts: Contexts) -> None:
    with Simulation(1) as sim:
        driver = sim.driver()
        made = echo_on(driver, contexts)
        client = sim.client(SITE)
        client.send(b"GET / HTTP/1.0\r\n\r\n")
        sim.run()
        assert client.ended
        assert made == []
        assert not driver.engine.vcs
        [(_, level, text)] = sim.log
        assert (level, "plain HTTP" in text) == ("info", True)


def test_a_stalled_handshake_is_closed_at_its_deadline(contexts: Contexts) -> None:
    with Simulation(1) as sim:
        driver = sim.driver()
        echo_on(driver, contexts)
        client = sim.client(SITE)
        sim.run(until=lambda: client.ended)
        assert sim.now == pytest.approx(10.0)
        sim.run()
        assert not driver.engine.vcs


def traced(seed: int, contexts: Contexts) -> list[TraceEntry]:
    with Simulation(seed, NetworkFaults.all(), trace=True) as sim:
        echo_on(sim.driver(), contexts)
        client = sim.client(SITE, contexts.client)
        client.send(TEXT)
        client.end()
        sim.run()
        assert sim.trace is not None
        return sim.trace


def test_a_seed_repeats_the_plaintext_though_the_ciphertext_differs(contexts: Contexts) -> None:
    for seed in range(10):
        assert traced(seed, contexts) == traced(seed, contexts)


@pytest.mark.parametrize("seed", range(5))
def test_stalled_readers_are_closed_and_other_clients_are_served(
    contexts: Contexts, seed: int
) -> None:
    """Sixteen clients send and read nothing, more data than the memory budget. Beside them are an
    idle client and one that reads every reply."""
    with Simulation(seed) as sim:
        driver = sim.driver(memory=32 * TLS_SIZE, log=lambda *_: None)
        made = echo_on(driver, contexts)
        idle = sim.client(SITE, contexts.client)
        sim.run(lambda: len(made) == 1)
        stalled = [sim.client(SITE, contexts.client) for _ in range(16)]
        reader = sim.client(SITE, contexts.client)
        sim.run(lambda: len(made) == 18)
        for each in stalled:
            each.stall()
            each.send(bytes(1 << 20))
        sim.run(lambda: driver.engine.memory.spent)
        reader.send(b"a request")
        sim.run(lambda: reader.received == b"a request", limit=PAUSE_S / 2)
        assert driver.engine.memory.spent, "from the reserve"
        sim.run(lambda: any(each.vc.error for each in made), limit=2 * PAUSE_S)
        reader.send(b", and more")
        sim.run(lambda: reader.received == b"a request, and more")
        assert made[0].vc.error is None, "an idle client stays connected"
        for each in (idle, reader, *stalled):
            each.reset()
        sim.run()
        assert driver.engine.memory.used == 0
        assert not driver.engine.vcs
