"""Upstreams of a whole configuration: sharing, reload and replay."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from vcproxy.config.loader import load
from vcproxy.drivers.sim import DatagramPeer, NetworkFaults, Peer
from vcproxy.engine.address import Address
from vcproxy.engine.failures import Exhausted
from vcproxy.replay.playback.replay import replay
from vcproxy.sessions.program import Signal
from vcproxy.testing.configured import ConfiguredProxy
from vcproxy.upstream.upstream import Upstream

LISTENERS = """\
[[listener]]
name = "one"
bind = "tcp://127.0.0.1:0"
plugin = "forward"
upstream = "app"

[[listener]]
name = "two"
bind = "tcp://127.0.0.1:0"
plugin = "forward"
upstream = "app"

"""
A, B = Address("tcp", "10.0.0.1", 80), Address("tcp", "10.0.0.2", 80)
TWO = f'[upstream.app]\nservers = ["{A}", "{B}"]\n'
CHECKED = TWO + 'check = { interval = "1s", fall = 1 }\n'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "proxy.toml"


def upstream(proxy: ConfiguredProxy) -> Upstream:
    return proxy.listeners.upstreams.on(proxy.engine, "app")


def written(file: Path, text: str) -> Path:
    file.write_text(LISTENERS + text)
    return file


def test_all_listeners_share_an_upstream(file: Path) -> None:
    with ConfiguredProxy(load(written(file, TWO))) as proxy:
        servers = proxy.sim.server(A), proxy.sim.server(B)
        for name in ("one", "two", "two", "one"):
            proxy.client(name)
            proxy.sim.elapse(0.1)
        assert [len(server.peers) for server in servers] == [2, 2]
        assert [server.connections for server in upstream(proxy).servers] == [2, 2]


def test_a_reload_keeps_an_unchanged_upstream(file: Path) -> None:
    with ConfiguredProxy(load(written(file, CHECKED))) as proxy:
        proxy.sim.server(A)
        proxy.sim.elapse(0.5)
        kept = upstream(proxy)
        assert [server.up for server in kept.servers] == [True, False]
        proxy.listeners.apply(load(written(file, "\n" + CHECKED)))
        assert upstream(proxy) is kept
        proxy.sim.elapse(5.0)
        assert [server.up for server in kept.servers] == [True, False]


def test_a_reload_replaces_a_changed_upstream(file: Path) -> None:
    with ConfiguredProxy(load(written(file, CHECKED))) as proxy:
        server = proxy.sim.server(A)
        proxy.sim.elapse(0.5)
        client = proxy.client("one")
        proxy.sim.elapse(0.1)
        before = upstream(proxy)
        proxy.listeners.apply(load(written(file, TWO)))
        assert upstream(proxy) is not before
        checks = len(server.peers)
        proxy.sim.elapse(5.0)
        assert len(server.peers) == checks, "it is not checked any more"
        client.send(b"still here")
        proxy.sim.elapse(0.1)
        assert b"still here" in [bytes(peer.received) for peer in server.peers]


def test_a_stopping_proxy_ends_health_checks(file: Path) -> None:
    with ConfiguredProxy(load(written(file, CHECKED))) as proxy:
        proxy.sim.server(A)
        proxy.sim.elapse(0.5)
        proxy.listeners.signalled(Signal(15))
        proxy.sim.elapse(0.5)
        assert not proxy.engine.vcs


@pytest.mark.parametrize("seed", range(3))
def test_a_run_with_all_features_replays(file: Path, tmp_path: Path, seed: int) -> None:
    text = """\
[upstream.app]
servers = ["tcp://app.example:80", { address = "tcp://10.0.0.9:80", weight = 2 }]
balance = "random_of_two"
max_connections = 1
queue = { size = 2, timeout = "2s" }
check = { kind = "http", interval = "700ms", timeout = "300ms", fall = 1, rise = 1 }
eject = { failures = 2, time = "3s" }
slow_start = "4s"
resolve = "1s"
"""
    log = tmp_path / "run.log"
    configuration = load(written(file, text))
    faults = NetworkFaults(latency=(0.0, 0.2), refuse=0.1)
    with ConfiguredProxy(configuration, seed=seed, faults=faults, record=log) as proxy:
        sim = proxy.sim
        names = sim.network.names
        names["app.example"] = ["10.0.0.1", "10.0.0.2"]
        for address in (A, B):
            sim.server(address, healthy)
        clients = []
        for number in range(30):
            clients += [proxy.client("one"), proxy.client("two")]
            sim.elapse(0.3)
            if number % 4 == 3:
                clients.pop(0).close()
            if number == 12:
                names["app.example"] = ["10.0.0.2", "10.0.0.3"]
        logged = [text for _, _, text in sim.log]
        for what in ("resolves to 10.0.0.1, 10.0.0.2", "is down", "is up", "no server ha"):
            assert any(what in line for line in logged), f"not in the log of this run: {what}"
    assert "all as recorded" in replay(log)


def test_closed_datagram_sessions_replay(file: Path, tmp_path: Path) -> None:
    log, place = tmp_path / "run.log", Address("udp", "10.0.0.1", 80)
    text = f'[upstream.app]\nservers = ["{place}"]\n'
    file.write_text(LISTENERS.replace("tcp://", "udp://") + text)
    with ConfiguredProxy(load(file), record=log) as proxy:
        sim = proxy.sim
        proxy.driver.max_sessions = 3
        server = DatagramPeer(sim.network.datagrams.bind(place))
        [there] = proxy._places["one"]
        for number in range(20):
            DatagramPeer(sim.network.datagrams.connect(there)).send(b"%d" % number)
            if number == 10:
                proxy.driver.connect_errors.append(Exhausted("too many open files"))
            sim.elapse(0.9)
        assert len(server.received) > 5
        logged = [text for _, _, text in sim.log]
        assert any("without a datagram; no file descriptor is left" in line for line in logged)
    assert "all as recorded" in replay(log)


def healthy(peer: Peer) -> None:
    """Reply to health checks."""
    peer.on_data = lambda _: peer.send(b"HTTP/1.1 200 OK\r\n\r\n")


# -- states and weights ----------------------------------------------------------------------

STATES = """\
[upstream.app]
servers = [
    { address = "tcp://10.0.0.1:80", state = "%s", weight = %d },
    { address = "tcp://10.0.0.2:80", backup = true },
]
balance = "weighted"
"""


def changed(proxy: ConfiguredProxy, **arguments: str | int) -> None:
    """Change the first server at run time."""
    change = partial(upstream(proxy).set_server, str(A), **arguments)  # type: ignore[arg-type]
    proxy.engine.inbox.post(change)
    proxy.sim.elapse(0.1)


def states(proxy: ConfiguredProxy) -> list[tuple[str, int, bool]]:
    return [(each.state, each.weight, each.backup) for each in upstream(proxy).servers]


def test_states_and_weights_of_the_configuration(file: Path) -> None:
    with ConfiguredProxy(load(written(file, STATES % ("drain", 0)))) as proxy:
        assert states(proxy) == [("drain", 0, False), ("ready", 1, True)]
        server = proxy.sim.server(B)
        proxy.client("one")
        proxy.sim.elapse(0.1)
        assert len(server.peers) == 1


def test_a_reload_keeps_what_was_set_at_run_time(file: Path) -> None:
    with ConfiguredProxy(load(written(file, STATES % ("ready", 5)))) as proxy:
        changed(proxy, state="maint", weight=7)
        assert states(proxy)[0] == ("maint", 7, False)
        for text in ("retries = 1\n", "retries = 2\n"):  # a changed upstream, twice
            proxy.listeners.apply(load(written(file, STATES % ("ready", 5) + text)))
            assert states(proxy)[0] == ("maint", 7, False)


def test_what_the_file_changes_counts_more_than_what_was_set(file: Path) -> None:
    with ConfiguredProxy(load(written(file, STATES % ("ready", 5)))) as proxy:
        changed(proxy, state="maint", weight=7)
        proxy.listeners.apply(load(written(file, STATES % ("ready", 6))))
        assert states(proxy)[0] == ("maint", 6, False), "the state in the file is the same"
        proxy.listeners.apply(load(written(file, STATES % ("drain", 6))))
        assert states(proxy)[0] == ("drain", 6, False)
