"""A reload: what is unchanged keeps its connections, what is changed gives way to the new one."""

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


class Stage:
    """A proxy whose file is written anew, and a server that minds how many connections it has."""

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

    def ask(self, client: Peer, said: bytes) -> None:
        client.send(said)
        self.sim.elapse(0.1)

    def reload(self, old: str = "", new: str = "") -> None:
        self.file.write_text(self.file.read_text().replace(old, new))
        self.proxy.listeners.apply(load(self.file))
        self.sim.elapse(0.1)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    made = Stage(tmp_path)
    with made.proxy:
        yield made


def test_an_unchanged_split_goes_on_with_its_connection(stage: Stage) -> None:
    before = stage.client()
    stage.ask(before, b"a\n")
    stage.reload("\n[[listener]]", "\n# a comment\n[[listener]]")
    after = stage.client()
    stage.ask(after, b"b\n")
    stage.ask(before, b"c\n")
    assert before.received == b"A\nC\n"
    assert after.received == b"B\n"
    assert len(stage.server.peers) == 1
    assert stage.proxy.engine.vcs


CHANGES = {
    "an option": ('"5s"', '"6s"'),
    "a key of the listener": ("[upstream", "half_close = false\n[upstream"),
    "its upstream": ('2"]', '2"]\nretries = 2'),
    "its code": ("", ""),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_changed_one_closes_its_connection_before_there_is_another(
    stage: Stage, what: str
) -> None:
    owed, idle = stage.client(), stage.client()
    stage.ask(idle, b"a\n")
    [first] = stage.server.peers
    first.on_data = lambda data: None
    stage.ask(owed, b"b\n")
    if what == "its code":
        (stage.folder / "own.py").write_text(OWN.replace("pass", "pass  # another"))
    stage.reload(*CHANGES[what])
    stage.ask(idle, b"c\n")
    assert not idle.ended, "nobody needs another connection yet"
    new = stage.client()
    stage.ask(new, b"d\n")
    stage.sim.elapse(1)
    assert idle.ended or b"C" not in idle.received
    assert len(stage.server.peers) == 1, "the old one is still owed something"
    first.send(b"B\nC\n")
    stage.sim.elapse(1)
    assert owed.received == b"B\n"
    assert idle.received == b"A\nC\n"
    assert owed.ended
    assert idle.ended
    assert first.ended
    assert new.received == b"D\n"
    assert len(stage.server.peers) == 2
    assert stage.at_once == 1
    assert any("the configuration has changed" in line for _, _, line in stage.sim.log)


def test_one_whose_server_is_silent_gives_way_when_time_is_up(stage: Stage) -> None:
    old = stage.client()
    stage.ask(old, b"a\n")
    stage.server.peers[0].on_data = lambda data: None
    stage.ask(old, b"b\n")
    stage.reload('"5s"', '"50s"')
    new = stage.client()
    new.send(b"c\n")
    stage.sim.elapse(6)
    assert old.received == b"A\nsorry\n"
    assert new.received == b"C\n"
    assert stage.at_once == 1


def test_of_many_reloads_the_last_one_is_served_and_nothing_is_left(stage: Stage) -> None:
    clients = []
    for number in range(5, 15):
        clients.append(stage.client())
        stage.ask(clients[-1], b"a\n")
        stage.reload(f'"{number}s"', f'"{number + 1}s"')
    last = stage.client()
    stage.ask(last, b"z\n")
    assert last.received == b"Z\n"
    assert [client.received for client in clients] == [b"A\n"] * 10
    assert all(client.ended for client in clients)
    assert stage.at_once == 1
    last.close()
    stage.sim.elapse(5)
    assert not stage.proxy.engine.vcs
    assert not any(each for each in stage.proxy.listeners._persistent.values())


@pytest.mark.parametrize("changed", [False, True])
def test_a_relay_its_source_and_its_targets_go_on(stage: Stage, changed: bool) -> None:
    source, target = stage.serve(3), stage.serve(5)
    packets = stage.sim.datagram_server(Address("udp", "127.0.0.1", 6))
    stage.reload(SPLIT, RELAY)
    subscriber = stage.client("r.subscribers")
    stage.ask(source.peers[0], b"one\n")
    stage.reload("" if changed else "relay", "" if changed else "relay")
    if changed:
        stage.reload('framing = "lines"', 'framing = "json-lines"')
    stage.ask(source.peers[0], b"two\n")
    assert len(source.peers) == len(target.peers) == 1
    assert subscriber.received == target.peers[0].received == b"one\ntwo\n"
    assert packets.received == [b"one\n", b"two\n"]
    assert len(set(packets.sources)) == 1


def test_checks_and_mirrors_are_not_doubled(stage: Stage) -> None:
    mirror, server = stage.serve(8), stage.serve(9)
    stage.reload(SPLIT, CHECKED)
    client = stage.client("c")
    stage.ask(client, b"one\n")
    seen = len(server.peers)
    assert seen == 2, "a check, and the client's"
    for _ in range(3):
        stage.reload()
    stage.ask(client, b"two\n")
    assert len(mirror.peers) == 1
    assert len(server.peers) == seen
    assert mirror.peers[0].received == server.peers[1].received == b"one\ntwo\n"
