"""A reload: an unchanged listener keeps its connections, a changed one closes them in order."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from vcproxy.config.loader import load
from vcproxy.drivers.sim import Peer, SimulatedServer
from vcproxy.engine.address import Address
from vcproxy.testing.configured import ConfiguredProxy

SPLIT = """
[[listener]]
name = "a"
bind = "tcp://127.0.0.1:1"
plugin = "own.py"
upstream = "back"
options = { timeout = "5s", unanswered = "sorry" }

[upstream.back]
servers = ["tcp://127.0.0.1:2"]
"""

OWN = """
from vcproxy.plugins.split import Split


class Own(Split):
    pass
"""

RELAY = """
[[listener]]
name = "r"
plugin = "relay"

[listener.options]
source = "tcp://127.0.0.1:3"
subscribers = "tcp://127.0.0.1:4"
targets = ["tcp://127.0.0.1:5", "udp://127.0.0.1:6"]
framing = "lines"
"""

CHECKED = """
[[listener]]
name = "c"
bind = "tcp://127.0.0.1:7"
plugin = "mirror"
upstream = "checked"
options = { mirrors = ["tcp://127.0.0.1:8"] }

[upstream.checked]
servers = ["tcp://127.0.0.1:9"]
check = { interval = "1000s" }
"""


class Setup:
    """A proxy whose configuration can be changed, and a server that counts its connections."""

    def __init__(self, folder: Path) -> None:
        (folder / "own.py").write_text(OWN)
        self.file = folder / "proxy.toml"
        self.folder = folder
        self.file.write_text(SPLIT)
        self.proxy = ConfiguredProxy(load(self.file))
        self.sim = self.proxy.sim
        self.at_once = 0
        self.server = self.serve(2, echo=True)

    def serve(self, port: int, *, echo: bool = False) -> SimulatedServer:
        def connected(peer: Peer) -> None:
            self.at_once = max(self.at_once, sum(not each.ended for each in server.peers))
            peer.on_end = peer.close
            if echo:
                peer.on_data = lambda data: peer.send(data.upper())

        server = self.sim.server(Address("tcp", "127.0.0.1", port), connected)
        return server

    def client(self, name: str = "a") -> Peer:
        client = self.proxy.client(name)
        client.on_end = client.close
        self.sim.elapse(0.1)
        return client

    def send(self, client: Peer, data: bytes) -> None:
        client.send(data)
        self.sim.elapse(0.1)

    def reload(self, old: str = "", new: str = "") -> None:
        self.file.write_text(self.file.read_text().replace(old, new))
        self.proxy.listeners.apply(load(self.file))
        self.sim.elapse(0.1)


@pytest.fixture
def setup(tmp_path: Path) -> Iterator[Setup]:
    made = Setup(tmp_path)
    with made.proxy:
        yield made


def test_an_unchanged_splitter_keeps_its_server_connection(setup: Setup) -> None:
    before = setup.client()
    setup.send(before, b"a\n")
    setup.reload("\n[[listener]]", "\n# a comment\n[[listener]]")
    after = setup.client()
    setup.send(after, b"b\n")
    setup.send(before, b"c\n")
    assert before.received == b"A\nC\n"
    assert after.received == b"B\n"
    assert len(setup.server.peers) == 1
    assert setup.proxy.engine.vcs


CHANGES = {
    "an option": ('"5s"', '"6s"'),
    "a key of the listener": ("[upstream", "half_close = false\n[upstream"),
    "its upstream": ('2"]', '2"]\nretries = 2'),
    "its code": ("", ""),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_changed_splitter_closes_its_server_connection_before_it_opens_another(
    setup: Setup, what: str
) -> None:
    waiting, idle = setup.client(), setup.client()
    setup.send(idle, b"a\n")
    [first] = setup.server.peers
    first.on_data = lambda data: None
    setup.send(waiting, b"b\n")
    if what == "its code":
        (setup.folder / "own.py").write_text(OWN.replace("pass", "pass  # another"))
    setup.reload(*CHANGES[what])
    setup.send(idle, b"c\n")
    assert not idle.ended, "no other connection is needed yet"
    new = setup.client()
    setup.send(new, b"d\n")
    setup.sim.elapse(1)
    assert idle.ended or b"C" not in idle.received
    assert len(setup.server.peers) == 1, "the old connection still waits for replies"
    first.send(b"B\nC\n")
    setup.sim.elapse(1)
    assert waiting.received == b"B\n"
    assert idle.received == b"A\nC\n"
    assert waiting.ended
    assert idle.ended
    assert first.ended
    assert new.received == b"D\n"
    assert len(setup.server.peers) == 2
    assert setup.at_once == 1
    assert any("the configuration has changed" in line for _, _, line in setup.sim.log)


def test_a_splitter_with_a_silent_server_is_replaced_after_its_timeout(setup: Setup) -> None:
    old = setup.client()
    setup.send(old, b"a\n")
    setup.server.peers[0].on_data = lambda data: None
    setup.send(old, b"b\n")
    setup.reload('"5s"', '"50s"')
    new = setup.client()
    new.send(b"c\n")
    setup.sim.elapse(6)
    assert old.received == b"A\nsorry\n"
    assert new.received == b"C\n"
    assert setup.at_once == 1


def test_after_many_reloads_the_last_one_is_served_and_all_others_end(setup: Setup) -> None:
    clients = []
    for number in range(5, 15):
        clients.append(setup.client())
        setup.send(clients[-1], b"a\n")
        setup.reload(f'"{number}s"', f'"{number + 1}s"')
    last = setup.client()
    setup.send(last, b"z\n")
    assert last.received == b"Z\n"
    assert [client.received for client in clients] == [b"A\n"] * 10
    assert all(client.ended for client in clients)
    assert setup.at_once == 1
    last.close()
    setup.sim.elapse(5)
    assert not setup.proxy.engine.vcs
    assert not any(each for each in setup.proxy.listeners._persistent.values())


@pytest.mark.parametrize("changed", [False, True])
def test_a_relay_keeps_its_source_and_targets(setup: Setup, changed: bool) -> None:
    source, target = setup.serve(3), setup.serve(5)
    packets = setup.sim.datagram_server(Address("udp", "127.0.0.1", 6))
    setup.reload(SPLIT, RELAY)
    subscriber = setup.client("r.subscribers")
    setup.send(source.peers[0], b"one\n")
    setup.reload("" if changed else "relay", "" if changed else "relay")
    if changed:
        setup.reload('framing = "lines"', 'framing = "json-lines"')
    setup.send(source.peers[0], b"two\n")
    assert len(source.peers) == len(target.peers) == 1
    assert subscriber.received == target.peers[0].received == b"one\ntwo\n"
    assert packets.received == [b"one\n", b"two\n"]
    assert len(set(packets.sources)) == 1


def test_health_checks_and_mirrors_are_not_doubled(setup: Setup) -> None:
    mirror, server = setup.serve(8), setup.serve(9)
    setup.reload(SPLIT, CHECKED)
    client = setup.client("c")
    setup.send(client, b"one\n")
    seen = len(server.peers)
    assert seen == 2, "a check, and the client's"
    for _ in range(3):
        setup.reload()
    setup.send(client, b"two\n")
    assert len(mirror.peers) == 1
    assert len(server.peers) == seen
    assert mirror.peers[0].received == server.peers[1].received == b"one\ntwo\n"
