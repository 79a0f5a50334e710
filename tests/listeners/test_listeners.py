"""Listeners: a configuration is planned, bound, committed; an earlier error changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from vcproxy.config.loader import load
from vcproxy.drivers.sim import Simulation
from vcproxy.engine.address import Address
from vcproxy.engine.listener import Listener
from vcproxy.listeners.listeners import Listeners
from vcproxy.testing.configured import SimHost

ECHO = '[[listener]]\nname = "{}"\nbind = {}\nplugin = "echo"\n'
A, B, C = (Address("tcp", "127.0.0.1", port) for port in (1, 2, 3))


class Host(SimHost):
    """A host that fails at some addresses, and records the calls of its methods."""

    def __init__(self, sim: Simulation) -> None:
        super().__init__(sim.driver())
        self.in_use: set[Address] = set()
        self.bad_certificate = False
        self.calls: list[str] = []

    def listen(self, address: Address, listener: Listener) -> Address:
        if address in self.in_use:
            raise OSError(98, "Address already in use")
        self.calls.append(f"listen {listener.name} {address}")
        return address

    def unlisten(self, listener: Listener, address: Address | None = None) -> None:
        self.calls.append(f"unlisten {listener.name} {address}")

    def hand_over(self, address: Address, old: Listener, new: Listener) -> None:
        self.calls.append(f"hand over {address} from {old.name} to {new.name}")

    def server_tls(self, tls: object) -> object:
        if self.bad_certificate:
            raise ValueError("cert.pem: No such file or directory")
        return tls


class World:
    """Listeners of a file that is written again and again."""

    def __init__(self, sim: Simulation, folder: Path) -> None:
        self.sim = sim
        self.file = folder / "proxy.toml"
        self.host = Host(sim)
        self.printed: list[str] = []
        self.listeners = Listeners(self.host, [self.host.engine], self.printed.append)

    def apply(self, text: str) -> None:
        self.host.calls.clear()
        self.file.write_text(text)
        self.listeners.apply(load(self.file))

    def state(self) -> object:
        """What serves clients: the listeners with their settings, and the addresses."""
        listeners = {
            name: (each.acceptor, each.tcp, each.tls, each.max_connections)
            for name, each in self.listeners._named.items()
        }
        return listeners, dict(self.listeners._bound), dict(self.listeners._services)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with Simulation(0) as sim:
        yield World(sim, tmp_path)


def test_clients_that_share_a_connection_are_on_one_net_thread(world: World) -> None:
    upstream = '\n[upstream.a]\nservers = ["tcp://127.0.0.1:9"]\n'
    split = ECHO.format("a", [str(A)]).replace("echo", "split") + 'upstream = "a"\n'
    world.apply(split + ECHO.format("b", [str(B)]) + upstream)
    assert {name: each.pinned for name, each in world.listeners.named.items()} == {
        "a": True,
        "b": False,
    }


def test_addresses_are_bound_handed_over_and_closed(world: World) -> None:
    world.apply(ECHO.format("a", [str(A), str(B)]))
    assert world.printed == [f"listening a {A}", f"listening a {B}"]
    world.apply(ECHO.format("b", [str(B), str(C)]))
    assert world.host.calls == [
        f"listen b {C}",
        f"unlisten a {A}",
        f"hand over {B} from a to b",
    ]
    assert world.printed[2:] == [f"listening b {C}", f"listening b {B}"]


def test_an_address_in_use_changes_nothing(world: World) -> None:
    world.apply(ECHO.format("a", [str(A)]))
    before = world.state()
    world.host.in_use = {C}
    changed = ECHO.format("a", [str(B), str(C)]) + 'tcp.keepalive = "5s"\n'
    with pytest.raises(OSError, match=r"listener\.a: cannot listen at tcp://127\.0\.0\.1:3: addr"):
        world.apply(changed)
    assert world.host.calls == [f"listen a {B}", f"unlisten a {B}"]
    assert world.state() == before
    assert len(world.printed) == 1
    world.host.in_use = set()
    world.apply(changed)
    assert world.host.calls == [f"listen a {B}", f"listen a {C}", f"unlisten a {A}"]


def test_a_new_listener_that_cannot_be_bound_leaves_nothing(world: World) -> None:
    world.apply(ECHO.format("a", [str(A)]))
    before = world.state()
    world.host.in_use = {C}
    with pytest.raises(OSError, match=r"listener\.b: cannot listen"):
        world.apply(ECHO.format("a", [str(A)]) + ECHO.format("b", [str(C)]))
    assert world.state() == before


def test_a_certificate_that_cannot_be_loaded_changes_nothing(
    world: World, tmp_path: Path, tls_files: str
) -> None:
    world.apply(ECHO.format("a", [str(A)]))
    before = world.state()
    world.host.bad_certificate = True
    with pytest.raises(OSError, match=r"proxy\.toml: cert\.pem: No such file or directory"):
        world.apply(ECHO.format("a", ["tls://127.0.0.1:2"]) + tls_files)
    assert world.host.calls == []
    assert world.state() == before


@pytest.fixture
def tls_files(tmp_path: Path) -> str:
    import trustme

    trustme.CA().issue_cert("a").private_key_and_cert_chain_pem.write_to_path(tmp_path / "a.pem")
    return 'tls = { certificate = "a.pem", key = "a.pem" }\n'
