"""A complete proxy under random faults, recorded: its invariants hold, and its log replays exactly.

VCPROXY_SEEDS sets the number of seeds, VCPROXY_SEED repeats one. A failed seed ends its log.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random

import pytest
from trustme import CA, KeyType

from vcproxy.app import cli
from vcproxy.config.loader import Configuration, load
from vcproxy.drivers.sim import NetworkFaults, Peer, seeds
from vcproxy.drivers.tls_context import client_context
from vcproxy.engine.address import Address
from vcproxy.replay.playback.replay import Replay
from vcproxy.testing.configured import ConfiguredProxy

SEEDS = list(seeds(200))
BATCHES = [SEEDS[n::10] for n in range(10) if SEEDS[n::10]]

CONFIGURATION = """
[[listener]]
name = "forward"
bind = ["tcp://proxy:1", "unix:/forward"]
plugin = "forward"
upstream = "forward"

[[listener]]
name = "tls"
bind = "tls://proxy:2"
tls = { certificate = "proxy.pem", key = "proxy.key" }
plugin = "forward"
upstream = "forward"

[[listener]]
name = "validate"
bind = "tcp://proxy:3"
plugin = "validate"
options = { pattern = "good.*", answer = "no", keep = true }
upstream = "validate"

[[listener]]
name = "split"
bind = "tcp://proxy:4"
plugin = "split"
upstream = "split"

[[listener]]
name = "relay"
bind = "tcp://proxy:5"
plugin = "relay"
options = { framing = "lines", producers = "interleave", subscribers = "tcp://proxy:6" }

[[listener]]
name = "mirror"
bind = "tcp://proxy:7"
plugin = "mirror"
options = { mirrors = ["tcp://shadow:1"] }
upstream = "forward"

[upstream.forward]
servers = ["tcp://one:1", "tcp://two:1"]
[upstream.validate]
servers = ["tcp://three:1"]
[upstream.split]
servers = ["tcp://four:1"]
"""

SERVERS = ["one", "two", "three", "four", "shadow"]
NAMES = ["forward", "tls", "validate", "split", "relay", "relay.subscribers", "mirror"]


@dataclass(frozen=True)
class Site:
    """A configuration, and the TLS context of its clients."""

    configuration: Configuration
    tls: ssl.SSLContext


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    folder = tmp_path_factory.mktemp("site")
    ca = CA(key_type=KeyType.RSA)  # signatures of one length: runs repeat
    leaf = ca.issue_cert("proxy", key_type=KeyType.RSA)
    leaf.cert_chain_pems[0].write_to_path(folder / "proxy.pem")
    leaf.private_key_pem.write_to_path(folder / "proxy.key")
    ca.cert_pem.write_to_path(folder / "ca.pem")
    (folder / "proxy.toml").write_text(CONFIGURATION)
    return Site(load(folder / "proxy.toml"), client_context(ca=folder / "ca.pem"))


@dataclass
class Client:
    """A client that sends lines to a listener."""

    name: str
    peer: Peer
    lines: list[bytes]

    def check(self) -> None:
        """Check that the client has received only replies to its own lines, in order."""
        received = bytes(self.peer.received)
        if self.name == "relay.subscribers":
            self.check_relayed(received)
        elif self.name == "relay":
            assert not received
        elif self.name == "validate":
            good = b"".join(reply(line) for line in self.lines if line.startswith(b"good"))
            assert good.startswith(b"".join(re.findall(rb"re [^\n]*\n?", received)))
        else:
            assert b"".join(map(reply, self.lines)).startswith(received)

    def check_relayed(self, received: bytes) -> None:
        """Check for complete lines of each producer, in order."""
        last: dict[bytes, int] = {}
        for producer, number in re.findall(rb"good (\w+) (\d+) \w*\n", received):
            assert int(number) > last.get(producer, -1)
            last[producer] = int(number)


def reply(line: bytes) -> bytes:
    return b"re " + line


def replying(peer: Peer) -> None:
    """A server that replies to each line, and ends when its client does."""
    rest = bytearray()

    def on_data(data: bytes) -> None:
        rest.extend(data)
        *lines, left = bytes(rest).splitlines(keepends=True) or [b""]
        if left.endswith(b"\n"):
            lines, left = [*lines, left], b""
        rest[:] = left
        peer.send(b"".join(map(reply, lines)))

    peer.on_data = on_data
    peer.on_end = peer.end


class Scenario:
    """What a seed determines: the clients, their listeners and actions, and the faults."""

    def __init__(self, site: Site, seed: int, log: Path) -> None:
        random = self.random = Random(seed)
        self.site = site
        self.log = log
        faults = NetworkFaults.all().some(random)
        self.proxy = ConfiguredProxy(site.configuration, seed=seed, faults=faults, record=log)
        sim = self.proxy.sim
        self.servers = {
            name: sim.server(Address("tcp", name, 1), replying)
            for name in SERVERS
            if random.random() < 0.9
        }
        self.clients: list[Client] = []
        for number in range(random.randint(2, 8)):
            connects = partial(self.connect, random.choice(NAMES), number)
            sim.clock.at(random.choice([0.0, random.uniform(0.0, 3.0)]), connects)

    def connect(self, name: str, number: int) -> None:
        """Connect a client that sends its lines in pieces, and ends in a random way."""
        random, sim = self.random, self.proxy.sim
        kinds, size = [b"good", b"good", b"bad"], random.choice([0, 50, 3000])
        lines = [
            b"%s c%d %d %s\n" % (random.choice(kinds), number, n, b"x" * size)
            for n in range(random.choice([0, 1, 20]))
        ]
        tls = self.site.tls if name == "tls" else None
        peer = self.proxy.client(name, random.randrange(2) if name == "forward" else 0, tls)
        if name == "relay.subscribers":
            lines = []
        self.clients.append(Client(name, peer, lines))
        data = b"".join(lines)
        piece = 1 + len(data) // random.choice([1, 5])
        for n, start in enumerate(range(0, len(data), piece)):
            sim.clock.after(n * 0.3, partial(peer.send, data[start : start + piece]))
        if random.random() < 0.2:
            peer.stall()
        ends: Callable[[], None] = getattr(peer, random.choice(["end", "end", "close", "reset"]))
        sim.clock.after(random.uniform(2.0, 5.0), ends)
        sim.clock.after(60.0, peer.reset)

    def run(self) -> None:
        """Run to the end, and check the invariants."""
        with self.proxy:
            self.proxy.sim.run()
            self.check()

    def check(self) -> None:
        engine = self.proxy.engine
        assert not engine.vcs
        assert engine.memory.used == 0
        assert not [text for _, level, text in self.proxy.sim.log if level == "error"]
        for client in self.clients:
            client.check()
        if "three" in self.servers:
            for peer in self.servers["three"].peers:
                assert all(
                    line.startswith(b"good"[: len(line)]) for line in peer.received.splitlines()
                )


def check_replay(log: Path) -> None:
    """Check that a replay finds no difference, and that its own recording is byte-identical."""
    copy = log.with_suffix(".copy")
    replay = Replay(log, copy=copy)
    while replay.step():
        pass
    replay.close()
    assert copy.read_bytes() == log.read_bytes()
    copy.unlink()


@pytest.mark.parametrize("batch", BATCHES, ids=lambda batch: f"{batch[0]}-{batch[-1]}")
def test_invariants_hold_and_the_log_replays(site: Site, batch: list[int], tmp_path: Path) -> None:
    for seed in batch:
        log = tmp_path / f"{seed}.log"
        scenario = Scenario(site, seed, log)
        scenario.run()
        check_replay(log)
        log.unlink()


@pytest.mark.parametrize("seed", range(40))
def test_resets_within_replies_are_replayed(site: Site, tmp_path: Path, seed: int) -> None:
    """A late report, of a failed send or a name look-up, may find its connection closed."""
    log = tmp_path / "log"
    faults = NetworkFaults(latency=(0.0, 0.002), resolve_s=(0.0, 0.02), socket=(1, 4096))
    random = Random(seed)
    with ConfiguredProxy(site.configuration, seed=seed, faults=faults, record=log) as proxy:
        proxy.sim.server(Address("tcp", "one", 1), partial(sending, proxy))
        proxy.sim.server(Address("tcp", "two", 1), partial(sending, proxy))
        for _ in range(20):
            client = proxy.client("forward", 0)
            proxy.sim.clock.after(random.uniform(0.0, 0.05), client.reset)
            proxy.sim.elapse(0.01)
        proxy.sim.elapse(1.0)
    check_replay(log)


def sending(proxy: ConfiguredProxy, peer: Peer) -> None:
    """A server that sends 30 times."""
    for n in range(30):
        proxy.sim.clock.after(0.002 * n, partial(peer.send, bytes(1000)))


class FailingScenario(Scenario):
    """A scenario whose check fails."""

    def check(self) -> None:
        assert not self.clients, "no client was expected"


def test_a_failed_seed_leaves_a_log_that_can_be_replayed(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "3.log"
    with pytest.raises(AssertionError, match="no client was expected") as failed:
        FailingScenario(site, 3, log).run()
    assert failed.value.__notes__ == [
        "seed=3 (VCPROXY_SEED=3 repeats it)",
        f"recorded: `vcproxy replay {log}` repeats the run",
    ]
    assert cli.main(["replay", str(log), "--trace", "Machine"]) == 0
    data = capsys.readouterr().out
    assert re.search(r"step \d+: .* got ", data)
    assert data.endswith("all as recorded\n")
