"""A machine process that supervises others is recorded and replayed, with its restarts."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.replay.test_recorded_sources import events
from vcproxy.bus.mailbox.letter import Letter
from vcproxy.bus.mailbox.profile import WINK
from vcproxy.config.loader import load
from vcproxy.drivers.sim import NetworkFaults, seeds
from vcproxy.replay.playback.replay import replay
from vcproxy.testing.configured import ConfiguredProxy
from vcproxy.testing.simulated_machines import TestPeer

PLUGIN = """
from vcproxy.api import Intensity, MachineSpec, Program, State, SupervisingProcess
from vcproxy.supervise.invocation import Invocation


class Parent(SupervisingProcess):
    MAIN = State(initial=True)
    intensity = Intensity(restarts=4)

    def specs(self):
        return (MachineSpec("family/Child"),)


class Family(Program):
    def start(self):
        invocation = Invocation("", "family/Parent", ("127.0.0.1", 5000), ("127.0.0.1", 6000))
        parent = Parent(self.engine, invocation, 1, self.ended)
        with parent.mutex.hold(self.engine):
            parent.begin_life()

    def ended(self, status):
        self.engine.log("info", f"the parent has ended with status {status}")
"""

CONF = """
[[listener]]
name = "family"
plugin = "family.py:Family"
"""


@pytest.mark.parametrize("seed", list(seeds(5)))
def test_a_process_and_its_restarts_are_replayed(tmp_path: Path, seed: int) -> None:
    """The delays of the restarts are random; its children fail until the parent gives up."""
    plugin, log, copy = (tmp_path / name for name in ("family.py", "log", "copy"))
    plugin.write_text(PLUGIN)
    (tmp_path / "family.toml").write_text(CONF)
    faults = NetworkFaults(loss=0.1, duplicate=0.1, latency=(0.0, 0.1))
    configuration = load(tmp_path / "family.toml")
    with ConfiguredProxy(configuration, seed=seed, faults=faults, record=log) as proxy:
        sim = proxy.sim
        grandparent = TestPeer(sim.driver("grandparent").engine, ("127.0.0.1", 6000), WINK)
        server = TestPeer(sim.driver("server").engine, ("127.0.0.1", 42000), WINK)
        children: list[TestPeer] = []

        def launch(letter: Letter) -> None:
            if letter.verb == "start":
                child = TestPeer(sim.driver("child").engine, ("127.0.0.1", 0), WINK)
                children.append(child)
                for verb in ("started", "errored", "exited"):
                    child.send(letter.sender, f"{verb} family/Child")

        server.on_letter = launch
        sim.run(until=lambda: any(text.startswith("exited") for text in grandparent.texts))
        sim.elapse(30)
        proxy.driver.close()

    assert len(children) == 5
    assert [letter.verb for letter in grandparent.letters if letter.verb != "pulsed"] == [
        "started",
        "errored",
        "exited",
    ]
    assert events(log)["Arrived"] > 20
    assert replay(log, copy=copy).endswith("all as recorded")
    assert copy.read_bytes() == log.read_bytes()
