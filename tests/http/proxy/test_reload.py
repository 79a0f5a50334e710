"""A reload also affects idle HTTP connections: their next answer is the last."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from vcproxy.config.loader import load
from vcproxy.drivers.sim import NetworkFaults, Peer
from vcproxy.engine.address import Address
from vcproxy.replay.playback.replay import replay
from vcproxy.testing.configured import ConfiguredProxy

from .harness import GET, OK, received, request

SERVER = Address("tcp", "server", 80)

CONFIGURATION = """
[[listener]]
name = "web"
bind = "tcp://proxy:80"
plugin = "http_proxy"
upstream = "app"
[listener.options]
via = "{via}"

[[listener]]
name = "plain"
bind = "tcp://proxy:1"
plugin = "forward"
upstream = "app"

[upstream.app]
servers = ["tcp://server:80"]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "proxy.toml"


def given(file: Path, via: str) -> Path:
    """The file, with this name in Via."""
    file.write_text(CONFIGURATION.format(via=via))
    return file


def serve(proxy: ConfiguredProxy) -> list[Peer]:
    """A server that answers each request; return its ends of all connections."""

    def met(peer: Peer) -> None:
        peer.on_data = partial(answer, peer)

    def answer(peer: Peer, _: bytes) -> None:
        while b"\r\n\r\n" in peer.received:
            peer.received[:] = peer.received.partition(b"\r\n\r\n")[2]
            peer.send(OK)

    return proxy.sim.server(SERVER, met).peers


@pytest.mark.parametrize("then", ["other", "same"])
def test_clients_are_served_by_the_new_configuration_soon(file: Path, then: str) -> None:
    log = file.with_name("run.log")
    with ConfiguredProxy(load(given(file, "first")), record=log) as proxy:
        servers = serve(proxy)
        asks, idle, tunnel = proxy.client("web"), proxy.client("web"), proxy.client("plain")
        for client in (asks, idle):
            client.send(GET)
        tunnel.send(GET)
        proxy.sim.elapse(2)
        for client in (asks, idle):
            text = received(client)
            assert "Via: 1.1 first" in text
            assert "Connection: close" not in text
        proxy.reload(load(given(file, then if then == "other" else "first")))
        asks.send(GET)
        proxy.sim.elapse(0.5)
        text = received(asks)
        assert "Via: 1.1 first" in text
        assert "Connection: close" in text
        assert asks.ended
        assert idle.ended
        assert not idle.reset_seen
        made = len(servers)
        new = proxy.client("web")
        new.send(GET)
        proxy.sim.elapse(0.5)
        text = received(new)
        assert f"Via: 1.1 {then if then == 'other' else 'first'}" in text
        assert "Connection: close" not in text
        assert len(servers) == made, "the upstream is the same, and so are its connections"
        tunnel.send(GET)
        proxy.sim.elapse(0.5)
        assert received(tunnel).count("200 OK") == 2, "tunnels live on"
        for client in (new, tunnel):
            client.close()
        proxy.sim.run()
    assert "all as recorded" in replay(log)


def test_a_reload_loses_no_request_of_a_busy_client(file: Path) -> None:
    """Each client sends its next request as soon as it has an answer, and reconnects only after
    `Connection: close`; the reload comes at any time."""
    a, b = load(given(file, "a")), load(given(file, "b"))
    for seed in range(4):
        faults = NetworkFaults(latency=(0.001, 0.02), short=0.3 * (seed % 2))
        with ConfiguredProxy(a, seed=seed, faults=faults) as proxy:
            serve(proxy)
            answered = 0

            def come() -> None:
                client = proxy.client("web")
                client.on_data = partial(go_on, client)
                client.send(request(target="/1"))

            def go_on(client: Peer, data: bytes) -> None:
                nonlocal answered
                while b"yes" in client.received:
                    head, _, rest = bytes(client.received).partition(b"yes")
                    client.received[:] = rest
                    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
                    answered += 1
                    if b"Connection: close" in head:
                        client.close()
                        come()
                    else:
                        client.send(request(target="/2"))

            for _ in range(5):
                come()
            for number in range(8):
                before = answered
                proxy.sim.elapse(0.2 + proxy.sim.random.random() / 7)
                assert answered >= before + 5
                proxy.reload(a if number % 2 else b)
