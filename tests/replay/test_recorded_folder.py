"""Recordings of files that are sent: runs in simulation with faults, and their replay."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from vcproxy.config.loader import load
from vcproxy.drivers.sim import NetworkFaults, seeds
from vcproxy.replay.playback.replay import replay
from vcproxy.testing.configured import ConfiguredProxy

CONF = """
[[listener]]
name = "site"
bind = "tcp://proxy:80"
plugin = "http_proxy"
options = { folder = { root = "/srv" } }
"""
TARGETS = ("/large", "/small", "/missing", "/dir", "/dir/")


def run(desk: Path, seed: int, faults: NetworkFaults) -> tuple[Path, bytes]:
    """Record some requests; return the log, and all that clients have received."""
    log, random = desk / "log", Random(seed)
    (desk / "site.toml").write_text(CONF)
    received = b""
    with ConfiguredProxy(load(desk / "site.toml"), seed=seed, faults=faults, record=log) as proxy:
        files = proxy.sim.files
        files.write("/srv/large", bytes(range(256)) * 2048)
        files.write("/srv/small", "small")
        files.write("/srv/dir/index.html", "index")
        for _ in range(6):
            client = proxy.client("site")
            for _ in range(3):
                target = random.choice(TARGETS)
                client.send(f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
                proxy.sim.elapse(random.choice([0, 0.5, 2]))
            if random.random() < 0.3:
                files.write("/srv/large", "short now")
            proxy.sim.elapse(2)
            client.close()
            received += bytes(client.received)
        proxy.sim.elapse(5)
        proxy.driver.close()
    return log, received


@pytest.mark.parametrize("seed", list(seeds(6)))
def test_a_faulty_run_is_replayed(tmp_path: Path, seed: int) -> None:
    log, _ = run(tmp_path, seed, NetworkFaults.all().some(Random(seed)))
    copy = tmp_path / "copy"
    assert replay(log, copy=copy).endswith("all as recorded")
    assert copy.read_bytes() == log.read_bytes()


def test_the_content_is_not_in_the_log(tmp_path: Path) -> None:
    log, received = run(tmp_path, 1, NetworkFaults())
    assert bytes(range(256)) in received
    assert bytes(range(64)) not in log.read_bytes()
    assert log.stat().st_size < 100_000
