"""The sample samples/bus/dialogue.py, simulated. The real one: tests/e2e/test_bus_sample.py."""

from __future__ import annotations

from pathlib import Path

from vcproxy.config.options import read_options
from vcproxy.config.plugin_loader import PluginLoader
from vcproxy.engine.address import Address
from vcproxy.testing import BusPeer, SimulatedProxy

SAMPLES = Path(__file__).parents[2] / "samples" / "bus"


def test_the_dialogue() -> None:
    plugin = PluginLoader().find(str(SAMPLES / "dialogue.py"))
    options, _ = read_options(plugin, {"quit": "udp://127.0.0.1:3002"}, SAMPLES)
    with SimulatedProxy(plugin, (), options=options) as proxy:
        peer = BusPeer.simulated(proxy.client(), proxy.sim)
        other = BusPeer.simulated(proxy.client(), proxy.sim)
        for command, answer in (("HI", "DAD"), ("CLIMB", "TOP"), ("WHO", "MOM")):
            peer.send(command)
            peer.expect(answer)
        peer.send("HELLO")
        peer.expect("UNKNOWN", command="HELLO")
        peer.send("BYE")
        peer.expect_end()
        other.send("HI")
        other.expect("DAD")
        datagrams = proxy.sim.datagram_client(Address.parse("udp://127.0.0.1:3002"))
        datagrams.send(b"HI")
        proxy.run()
        assert datagrams.received == [b"UNKNOWN command=HI"]
        assert not proxy.stopped
        datagrams.send(b"QUIT")
        proxy.run()
        assert proxy.stopped
