"""A recording of a program with all kinds of connections of the bus is replayed."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from vcproxy.config.loader import load
from vcproxy.drivers.sim import NetworkFaults, Peer, seeds
from vcproxy.engine.address import Address
from vcproxy.replay.playback.replay import replay
from vcproxy.testing.configured import ConfiguredProxy

PLUGIN = '''
from vcproxy.api import (
    Address,
    BusMessage,
    ConnectionUp,
    DatagramMessages,
    MessageConnection,
    NetVConnection,
    NoReply,
    Pauses,
    PermanentConnection,
    Program,
    ReceivedMessage,
)


class House(Program):
    """Passes messages of clients on to a service, and asks it whether it is alive."""

    def start(self):
        self.house = PermanentConnection(
            self,
            [Address.parse("tcp://first:1"), Address.parse("tcp://second:1")],
            backoff=Pauses(self.engine.random, (-0.5, 0.5, 1)),
            name="house",
        )
        DatagramMessages(self, Address.parse("udp://127.0.0.1:4041"), secret_code="code")

    def handle_event(self, key, data):
        if isinstance(data, NetVConnection):
            MessageConnection(self, data)
        elif isinstance(data, ReceivedMessage):
            data.reply("PASSED")
            self.house.send(BusMessage("SAID", {"command": data.command}))
        elif key is ConnectionUp:
            self.house.send(BusMessage("ALIVE"))
            self.house.wait("ABSOLUTELY", 3)
        elif key is NoReply:
            self.house.reconnect("it does not answer")
'''

CONF = """
[[listener]]
name = "house"
bind = "tcp://proxy:1"
plugin = "house.py"
"""


@pytest.mark.parametrize("seed", list(seeds(10)))
def test_a_run_is_replayed(seed: int, tmp_path: Path) -> None:
    (tmp_path / "house.py").write_text(PLUGIN)
    (tmp_path / "house.toml").write_text(CONF)
    log, copy = tmp_path / "log", tmp_path / "copy"
    random = Random(seed)

    def answer(peer: Peer) -> None:
        def alive(data: bytes) -> None:
            if b"ALIVE" in data:
                peer.send(b"ABSOLUTELY\nNEWS\n")

        if random.random() < 0.7:
            peer.on_data = alive

    configuration = load(tmp_path / "house.toml")
    with ConfiguredProxy(
        configuration, seed=seed, faults=NetworkFaults.all().some(random), record=log
    ) as proxy:
        sim = proxy.sim
        servers = [sim.server(Address.parse("tcp://second:1"), answer)]
        datagrams = sim.datagram_client(Address.parse("udp://127.0.0.1:4041"))
        clients = [proxy.client("house") for _ in range(3)]
        for number in range(20):
            client = random.choice(clients)
            client.send(b"HELLO%d\n" % number if random.random() < 0.8 else b"no message\n")
            datagrams.send(random.choice((b"STOP", b"STOP secret_code=code")))
            sim.elapse(random.uniform(0, 1))
            if number == 10:
                servers.append(sim.server(Address.parse("tcp://first:1"), answer))
            for server in servers:
                for peer in server.peers:
                    if random.random() < 0.1:
                        peer.close()
        sim.elapse(5)
        proxy.driver.close()
    assert replay(log, copy=copy).endswith("all as recorded")
    assert copy.read_bytes() == log.read_bytes()
