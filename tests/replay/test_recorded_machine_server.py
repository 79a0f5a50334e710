"""A machine server is recorded and replayed, with what its machines and its clients do."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from tests.replay.test_recorded_sources import events
from tests.sim.test_machine_server import NAMES, SERVER, EchoProcess
from vcproxy.config.loader import load
from vcproxy.drivers.sim import NetworkFaults, ProcessFaults, seeds
from vcproxy.engine.mutex import Mutex
from vcproxy.replay.playback.replay import replay
from vcproxy.supervise.client import Client
from vcproxy.supervise.exchange import ListExchange, StartExchange, StopExchange
from vcproxy.testing.configured import ConfiguredProxy

PLUGIN = """
from vcproxy.api import Program
from vcproxy.supervise.server import MachineServer


class Files:
    def find(self, path, log_name):
        return f"/srv/{path}", f"/log/{log_name}", ""

    def shown(self, path):
        return path

    def environment(self):
        return {}

    def sync(self, logs):
        return ""


class Serving(Program):
    def start(self):
        self.server = MachineServer(self.engine, self.mutex, Files(), ("127.0.0.1", 42000))
        self.server.start()
"""

CONF = """
[[listener]]
name = "machines"
plugin = "serving.py:Serving"
"""


@pytest.mark.parametrize("seed", list(seeds(5)))
def test_a_run_with_faults_is_replayed(tmp_path: Path, seed: int) -> None:
    plugin, log, copy = (tmp_path / name for name in ("serving.py", "log", "copy"))
    plugin.write_text(PLUGIN)
    (tmp_path / "serving.toml").write_text(CONF)
    faults = NetworkFaults(loss=0.1, duplicate=0.1, latency=(0.0, 0.1))
    random = Random(seed)
    with ConfiguredProxy(
        load(tmp_path / "serving.toml"),
        seed=seed,
        faults=faults,
        process_faults=ProcessFaults.all(),
        record=log,
    ) as proxy:
        sim = proxy.sim
        sim.programs["/srv/echo/Echo"] = EchoProcess
        sim.elapse(1)
        for number in range(12):
            start = StartExchange(SERVER, random.choice(NAMES), random.choice((0, 5000)), (), True)
            other = random.choice((StopExchange(SERVER, 5000), ListExchange(SERVER)))
            exchange = other if number % 3 else start
            engine, mutex = sim.driver("client").engine, Mutex()
            client = Client(engine, mutex, exchange, ("127.0.0.1", 0), lambda text: None)
            with mutex.hold(engine):
                client.start()
            sim.elapse(random.random() * 5)
        assert proxy.driver.sources.signalled(15)
        sim.elapse(60)
        proxy.driver.close()

    found = events(log)
    assert found["Bound"] == found["Signal"] == 1
    assert found["Launched"] > 0
    assert found["Arrived"] > 10
    assert replay(log, copy=copy).endswith("all as recorded")
    assert copy.read_bytes() == log.read_bytes()
