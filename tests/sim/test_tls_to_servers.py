"""TLS to the servers of an upstream: a simulated proxy, between scripted peers."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from trustme import CA, KeyType

from vcproxy.config.loader import Configuration, load
from vcproxy.drivers.sim import NetworkFaults, Peer
from vcproxy.drivers.tls_context import server_context
from vcproxy.engine.address import Address
from vcproxy.testing.configured import ConfiguredProxy

SERVER = Address.parse("tls://10.0.0.7:5432")

PROXY = """\
[[listener]]
name = "db"
bind = "tcp://proxy:1"
plugin = "forward"
upstream = "db"
[upstream.db]
servers = ["{}"]
eject.failures = 0
tls = {{ ca = "ca.pem", certificate = "client.pem", key = "client.key", {} }}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    ca = CA(key_type=KeyType.RSA)  # signatures of one length: runs repeat
    ca.cert_pem.write_to_path(folder / "ca.pem")
    for name in ("server", "client"):
        issued = ca.issue_cert(f"{name}.example", common_name=name, key_type=KeyType.RSA)
        issued.cert_chain_pems[0].write_to_path(folder / f"{name}.pem")
        issued.private_key_pem.write_to_path(folder / f"{name}.key")
    return folder


@pytest.mark.parametrize(
    ("settings", "sni", "reply"),
    [
        ('server_name = "server.example"', "server.example", b"pong"),
        ('verify_name = "server.example"', None, b"pong"),
        ('server_name = "x.example", verify_name = "server.example"', "x.example", b"pong"),
        ('verify_name = "other.example"', None, b""),
        ('server_name = "other.example"', "other.example", b""),
    ],
)
def test_the_names_and_the_certificate(
    folder: Path, settings: str, sni: str | None, reply: bytes
) -> None:
    file = folder / "proxy.toml"
    file.write_text(PROXY.format(SERVER, settings))
    configuration = load(file)
    tls = server_context(folder / "server.pem", folder / "server.key", client_ca=folder / "ca.pem")
    for seed in range(10):
        received, seen = talk(configuration, tls, seed)
        assert received == reply, seed
        assert seen == ([(sni, "CN=client")] if reply else []), seed


def talk(
    configuration: Configuration, tls: ssl.SSLContext, seed: int
) -> tuple[bytes, list[tuple[str | None, str]]]:
    """Return what a client receives, and which names the server has seen: the one requested, and
    that of the proxy's certificate."""
    seen: list[tuple[str | None, str]] = []

    def serve(peer: Peer) -> None:
        def received(_: bytes) -> None:
            assert peer._stream is not None
            secure = peer._stream.secure
            assert secure is not None
            if not seen:  # the request may come in pieces
                seen.append((secure.sni, (secure.peer or "")[:9]))
                peer.send(b"pong")
                peer.end()

        peer.on_data = received

    faults = NetworkFaults(latency=(0.0, 0.1), short=0.3, one_byte=0.1)
    with ConfiguredProxy(configuration, seed=seed, faults=faults) as proxy:
        proxy.sim.server(SERVER, serve, tls)
        client = proxy.client("db")
        client.send(b"ping")
        client.end()
        proxy.sim.run(until=lambda: client.ended or client.error is not None)
        return bytes(client.received), seen
