"""allow, deny and rate of listeners in simulation: TCP, Unix, UDP, reload, recording and replay."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.listeners.test_access_logs import Lists
from vcproxy.admission.refusal import Refusal
from vcproxy.config.loader import load
from vcproxy.drivers.sim import DatagramPeer, Peer
from vcproxy.replay.playback.replay import replay
from vcproxy.testing.configured import ConfiguredProxy

SERVED, OTHER = "10.1.2.3", "192.0.2.1"
ECHO = '[[listener]]\nname = "echo"\nbind = "%s"\nplugin = "echo"\n'
BOTH = '[[listener]]\nname = "echo"\nbind = ["%s", "%s"]\nplugin = "echo"\n'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "proxy.toml"


def proxy_of(
    file: Path, keys: str, bind: str = "tcp://127.0.0.1:0", record: Path | None = None
) -> ConfiguredProxy:
    file.write_text(ECHO % bind + keys)
    return ConfiguredProxy(load(file), record=record)


def connected(proxy: ConfiguredProxy, client_ip: str = "") -> Peer:
    """A client that sends a line, after everything has happened that happens now."""
    [place] = proxy._places["echo"]
    client = proxy.sim.client(place, client_ip=client_ip)
    client.send(b"hello")
    proxy.sim.elapse(0.001)
    return client


def served(proxy: ConfiguredProxy, *client_ips: str) -> list[bool]:
    """Which of these clients are served."""
    return [bool(connected(proxy, each).received) for each in client_ips]


def refusals(proxy: ConfiguredProxy) -> dict[Refusal, int]:
    return proxy.listeners._named["echo"].counts_of(proxy.engine).refusals


def log(proxy: ConfiguredProxy) -> list[str]:
    return [f"{level}: {text}" for _, level, text in proxy.sim.log]


# -- TCP -------------------------------------------------------------------------------------


def test_clients_of_other_networks_are_closed_and_counted(file: Path) -> None:
    keys = 'allow = ["10.0.0.0/8", "2001:db8::/32"]\ndeny = ["10.9.0.0/16"]\n'
    with proxy_of(file, keys) as proxy:
        assert served(proxy, SERVED, "2001:db8::7", "10.9.1.1", OTHER, "::1") == [
            True, True, False, False, False,
        ]  # fmt: skip
        assert connected(proxy, OTHER).ended
        assert refusals(proxy) == {Refusal.DENIED: 4}
        listener = proxy.listeners._named["echo"]
        assert (listener.open, listener.counts_of(proxy.engine).refused) == (2, 4)
        assert log(proxy) == [
            "warning: echo: 10.9.1.1 is refused: its address is in deny or not in allow; 1 refused "
            "so far"
        ]


def test_a_flood_of_refused_clients_logs_a_line_each_minute(file: Path) -> None:
    with proxy_of(file, f'deny = ["{OTHER}"]\n') as proxy:
        for _ in range(200):
            connected(proxy, OTHER)
            proxy.sim.elapse(0.5)
        assert [line.rpartition("; ")[2] for line in log(proxy)] == [
            "1 refused so far",
            "121 refused so far",
        ]


def test_connections_of_each_client_are_limited(file: Path) -> None:
    with proxy_of(file, 'rate = { requests = 2, per = "10s" }\n') as proxy:
        assert served(proxy, SERVED, SERVED, SERVED, OTHER) == [True, True, False, True]
        proxy.sim.elapse(5.0)
        assert served(proxy, SERVED, SERVED) == [True, False]
        assert refusals(proxy) == {Refusal.RATE: 2}
        assert log(proxy) == [
            f"warning: echo: {SERVED} is refused: more than 2 per 10s for each client; 1 refused "
            "so far"
        ]


def test_all_of_several_rates_are_obeyed(file: Path) -> None:
    rates = 'rate = [{ requests = 2 }, { for_each = "listener", requests = 5 }]\n'
    with proxy_of(file, rates) as proxy:
        assert served(proxy, *[SERVED] * 4, *[OTHER] * 4, "192.0.2.2", "192.0.2.3") == [
            True, True, False, False, True, True, False, False, True, False,
        ]  # fmt: skip


def test_a_network_is_limited(file: Path) -> None:
    with proxy_of(file, 'rate = { for_each = "/24", requests = 1 }\n') as proxy:
        assert served(proxy, "192.0.2.1", "192.0.2.2", "192.0.3.1") == [True, False, True]
        assert served(proxy, "2001:db8:1::1", "2001:db8:1:2::1", "2001:db8:2::1") == [
            True, False, True,
        ]  # fmt: skip


def test_a_refused_client_does_not_count_for_max_per_client(file: Path) -> None:
    keys = "rate = { requests = 2 }\nlimits = { max_per_client = 3 }\n"
    with proxy_of(file, keys) as proxy:
        assert served(proxy, *[SERVED] * 3) == [True, True, False]
        proxy.sim.elapse(2.0)
        assert served(proxy, *[SERVED] * 2) == [True, False]
        assert refusals(proxy) == {Refusal.RATE: 1, Refusal.MAX_PER_CLIENT: 1}


# -- without an address ----------------------------------------------------------------------


def test_clients_of_a_unix_socket_are_served(file: Path) -> None:
    keys = 'deny = ["0.0.0.0/0", "::/0"]\nrate = { requests = 1 }\n'
    file.write_text(BOTH % ("tcp://127.0.0.1:0", "unix:web.sock") + keys)
    with ConfiguredProxy(load(file)) as proxy:
        _, place = proxy._places["echo"]
        for _ in range(3):
            client = proxy.sim.client(place)
            client.send(b"hello")
            proxy.sim.elapse(0.001)
            assert client.received == b"hello"


def test_a_rate_for_all_clients_limits_those_of_a_unix_socket(file: Path) -> None:
    keys = 'rate = { for_each = "listener", requests = 2 }\n'
    with proxy_of(file, keys, bind="unix:web.sock") as proxy:
        assert served(proxy, "", "", "") == [True, True, False]
        assert log(proxy)[0].startswith("warning: echo: a client is refused: more than 2 per 1s")


# -- UDP -------------------------------------------------------------------------------------


def sender(proxy: ConfiguredProxy, host: str, port: int = 5000) -> DatagramPeer:
    [place] = proxy._places["echo"]
    return DatagramPeer(proxy.sim.network.datagrams.connect(place, (host, port)))


def test_datagrams_of_other_networks_are_dropped(file: Path) -> None:
    with proxy_of(file, 'allow = ["10.0.0.0/8"]\n', bind="udp://127.0.0.1:0") as proxy:
        inner, outer = sender(proxy, SERVED), sender(proxy, OTHER)
        for each in (inner, outer):
            each.send(b"one")
            each.send(b"two")
        proxy.sim.elapse(0.1)
        assert (inner.received, outer.received) == ([b"one", b"two"], [])
        assert len(proxy.engine.vcs) == 1, "no session was made"
        assert refusals(proxy) == {Refusal.DENIED: 2}
        assert log(proxy) == [
            f"warning: echo: {OTHER} is refused: its address is not in allow; 1 refused so far"
        ]


def test_datagrams_of_a_client_are_limited_over_all_its_ports(file: Path) -> None:
    with proxy_of(file, 'rate = { requests = 3, per = "3s" }\n', "udp://127.0.0.1:0") as proxy:
        first, second = sender(proxy, SERVED, 5000), sender(proxy, SERVED, 5001)
        for _ in range(2):
            first.send(b"a")
            second.send(b"b")
        proxy.sim.elapse(0.1)
        assert len(first.received) + len(second.received) == 3
        proxy.sim.elapse(1.0)
        first.send(b"later")
        first.send(b"later")
        proxy.sim.elapse(0.1)
        assert first.received[-1] == b"later"
        assert refusals(proxy) == {Refusal.RATE: 2}


# -- reload, recording -----------------------------------------------------------------------


def test_a_reload_keeps_the_buckets_of_an_equal_rate(file: Path) -> None:
    with proxy_of(file, 'rate = { requests = 2, per = "1m" }\n') as proxy:
        assert served(proxy, SERVED, SERVED) == [True, True]
        file.write_text(ECHO % "tcp://127.0.0.1:0" + 'rate = { requests = 2, per = "1m" }\n'
                        'half_close = false\n')  # fmt: skip
        proxy.listeners.apply(load(file))
        assert served(proxy, SERVED, OTHER) == [False, True]
        file.write_text(ECHO % "tcp://127.0.0.1:0" + 'rate = { requests = 3, per = "1m" }\n')
        proxy.listeners.apply(load(file))
        assert served(proxy, SERVED) == [True], "another rate"
        file.write_text(ECHO % "tcp://127.0.0.1:0" + f'deny = ["{SERVED}"]\n')
        proxy.listeners.apply(load(file))
        assert served(proxy, SERVED, OTHER, OTHER) == [False, True, True]
        file.write_text(ECHO % "tcp://127.0.0.1:0")
        proxy.listeners.apply(load(file))
        assert served(proxy, SERVED) == [True]


@pytest.mark.parametrize("seed", range(3))
def test_a_recorded_run_with_all_rules_replays(file: Path, tmp_path: Path, seed: int) -> None:
    log_file = tmp_path / "run.log"
    keys = """\
allow = ["10.0.0.0/8"]
deny = ["10.7.0.0/16"]
rate = [{ requests = 2, per = "5s" }, { for_each = "listener", requests = 20, per = "5s" }]
"""
    file.write_text(BOTH % ("tcp://127.0.0.1:0", "udp://127.0.0.1:0") + keys)
    configuration = load(file)
    with ConfiguredProxy(configuration, seed=seed, record=log_file) as proxy:
        stream, datagrams = proxy._places["echo"]
        peers = []
        for number in range(40):
            host = f"10.{7 - number % 2}.0.1" if number % 5 else OTHER
            peers.append(proxy.sim.client(stream, client_ip=host))
            peers[-1].send(b"hello")
            there = proxy.sim.network.datagrams.connect(datagrams, (host, 6000 + number))
            DatagramPeer(there).send(b"hello")
            proxy.sim.elapse(0.3)
            if number == 20:
                proxy.reload(load(file))
        counted = proxy.listeners._named["echo"].counts_of(proxy.engine).refusals
        assert counted.keys() == {Refusal.DENIED, Refusal.RATE}
        assert any(peer.received for peer in peers)
    assert "all as recorded" in replay(log_file)


# -- with a PROXY header, and in the access log ----------------------------------------------


def introduced(proxy: ConfiguredProxy, client: str, balancer: str) -> Peer:
    """A client of a load balancer, which sends a line after the header."""
    [place] = proxy._places["echo"]
    peer = proxy.sim.client(place, client_ip=balancer)
    peer.send(f"PROXY TCP4 {client} 203.0.113.1 4711 80\r\nhello".encode())
    proxy.sim.elapse(0.1)
    return peer


def test_the_client_of_a_proxy_header_is_checked_and_not_the_balancer(file: Path) -> None:
    keys = f"""\
allow = ["192.0.2.0/24"]
rate = {{ requests = 1, per = "1m" }}
proxy_protocol = {{ from = ["{SERVED}"] }}
"""
    with proxy_of(file, keys) as proxy:
        clients = ["192.0.2.1", "192.0.2.1", "192.0.2.2", "198.51.100.1"]
        served = [bool(introduced(proxy, each, SERVED).received) for each in clients]
        assert served == [True, False, True, False]
        assert refusals(proxy) == {Refusal.RATE: 1, Refusal.DENIED: 1}
        assert log(proxy)[0].startswith("warning: echo: 192.0.2.1 is refused: more than 1 per 1m")


def test_clients_announced_at_a_unix_socket_are_checked(file: Path) -> None:
    keys = 'deny = ["192.0.2.0/24"]\nproxy_protocol = { from = "unix" }\n'
    with proxy_of(file, keys, bind="unix:web.sock") as proxy:
        assert introduced(proxy, OTHER, "").received == b""
        assert introduced(proxy, SERVED, "").received == b"hello"


def test_refused_connections_are_in_the_access_log(file: Path) -> None:
    targets = Lists()
    file.write_text(
        f'[access_log]\nfile = "access.log"\n{ECHO % "tcp://127.0.0.1:0"}'
        'deny = ["192.0.2.0/24"]\nrate = { requests = 1, per = "1m" }\n'
    )
    with ConfiguredProxy(load(file), access_targets=targets) as proxy:
        for each in (OTHER, SERVED, SERVED):
            connected(proxy, each)
    denied, limited = (json.loads(line) for line in targets.lines["access.log"][:2])
    assert (denied["end"], denied["reason"]) == ("PH", "its address is in deny")
    assert (limited["end"], limited["reason"]) == ("PH", "more than 1 per 1m for each client")
    clients = [each["client"].rpartition(":")[0] for each in (denied, limited)]
    assert clients == [OTHER, SERVED]
