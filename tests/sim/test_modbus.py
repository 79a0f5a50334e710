"""10,000 requests of 50 clients to five units, of which one is dead: none is wrong, none lost."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pytest

from vcproxy.config.options import read_options
from vcproxy.drivers.sim import NetworkFaults, Peer
from vcproxy.framing.framing import Framing
from vcproxy.framing.mbap import mbap
from vcproxy.framing.modbus_rtu import modbus_rtu, rtu_frame
from vcproxy.plugins.modbus import Modbus
from vcproxy.protocols.modbus import ModbusError, mbap_frame
from vcproxy.testing import seeds
from vcproxy.testing.proxy import SimulatedProxy

CLIENTS = 50
REQUESTS = 10_000
DEAD = 5
TIMEOUT_S = 0.3

GATEWAY = (ModbusError.BUSY, ModbusError.NO_PATH, ModbusError.NO_RESPONSE)

WORKS = {
    "one at a time": {},
    "eight at a time": {"in_flight": 8},
    "any number": {"in_flight": 0},
    "a line": {"protocol": "rtu"},
}

FAULTS = NetworkFaults(
    latency=(0.0, 0.005), short=0.1, one_byte=0.02, stall=0.01, stall_s=(0, 0.05)
)
"""Delays that are shorter than the time-out, all together."""


def values(unit: int, address: int) -> bytes:
    """The two registers at an address: no two units and addresses have the same."""
    return (unit << 24 | address).to_bytes(4, "big")


class Poller:
    """A client with two requests at a time, each for another unit and another address."""

    def __init__(self, proxy: SimulatedProxy, number: int, requests: int) -> None:
        self.peer = proxy.client()
        self.peer.on_data = self.received
        self.random = Random(number)
        self.unsent = requests
        self.asked: dict[int, tuple[int, int]] = {}
        self.right = self.exceptions = self.refused = 0
        self.wrong: list[str] = []
        self.decoder = mbap().decoder()
        self.number = 0
        self.send()
        self.send()

    def send(self) -> None:
        """Send the next request."""
        if self.unsent:
            self.unsent -= 1
            self.number += 1
            unit, address = self.random.randint(1, DEAD), self.random.randrange(60_000)
            self.asked[self.number] = unit, address
            pdu = b"\3" + address.to_bytes(2, "big") + b"\0\2"
            self.peer.send(mbap_frame(self.number, unit, pdu))

    def received(self, data: bytes) -> None:
        """Compare replies with what was asked."""
        for frame in self.decoder.feed(data):
            assert isinstance(frame, bytes)
            unit, address = self.asked.pop(int.from_bytes(frame[:2], "big"))
            if frame[6:] == bytes((unit, 3, 4)) + values(unit, address):
                self.right += 1
            elif frame[6:8] == bytes((unit, 0x83)) and frame[8] in GATEWAY:
                self.exceptions += 1
                if unit != DEAD:
                    self.refused += 1
            else:
                self.wrong.append(frame.hex(" "))
            self.send()


class Device:
    """Answers in order, after a moment; units that are dead do not answer."""

    def __init__(self, proxy: SimulatedProxy, is_rtu: bool) -> None:
        self.sim = proxy.sim
        self.is_rtu = is_rtu
        self.framing: Framing = modbus_rtu("request") if is_rtu else mbap()

    def connected(self, peer: Peer) -> None:
        """Serve a connection."""
        decoder = self.framing.decoder()

        def received(data: bytes) -> None:
            for frame in decoder.feed(data):
                assert isinstance(frame, bytes)
                head, unit, pdu = (
                    (b"", frame[0], frame[1:-2])
                    if self.is_rtu
                    else (frame[:2], frame[6], frame[7:])
                )
                if unit == DEAD:
                    continue
                reply = b"\3\4" + values(unit, int.from_bytes(pdu[1:3], "big"))
                peer.send(
                    rtu_frame(unit, reply)
                    if self.is_rtu
                    else mbap_frame(int.from_bytes(head, "big"), unit, reply)
                )

        peer.on_data = received


def run(work: dict[str, Any], seed: int, requests: int, faults: NetworkFaults) -> list[Poller]:
    """Run all requests; return the clients."""
    timeouts = {"timeout": f"{TIMEOUT_S}s", "queue_timeout": "10m", "attempts": 2}
    options, _ = read_options(Modbus, {**timeouts, **work}, Path())
    devices: list[Device] = []
    with SimulatedProxy(
        Modbus,
        options=options,
        on_connect={"server": lambda peer: devices[0].connected(peer)},
        seed=seed,
        faults=faults,
    ) as proxy:
        devices.append(Device(proxy, work.get("protocol") == "rtu"))
        clients = [Poller(proxy, number, requests // CLIENTS) for number in range(CLIENTS)]
        proxy.run()
        return clients


@pytest.mark.parametrize("work", WORKS.values(), ids=WORKS)
def test_not_one_of_10000_replies_is_wrong_or_lost(work: dict[str, Any]) -> None:
    clients = run(work, 1, REQUESTS, FAULTS)
    assert [wrong for client in clients for wrong in client.wrong] == []
    assert sum(client.right + client.exceptions for client in clients) == REQUESTS
    assert sum(client.refused for client in clients) == 0, "of units that are not dead"
    dead = sum(client.exceptions for client in clients)
    assert REQUESTS / 6 < dead < REQUESTS / 4, "a fifth was for the dead unit"
    assert not any(client.asked for client in clients)


@pytest.mark.parametrize("seed", list(seeds(8)))
@pytest.mark.parametrize("work", WORKS.values(), ids=WORKS)
def test_whatever_the_network_does_no_reply_is_wrong(work: dict[str, Any], seed: int) -> None:
    clients = run(work, seed, 20 * CLIENTS, NetworkFaults.all())
    assert [wrong for client in clients for wrong in client.wrong] == []
    for client in clients:
        assert not client.asked or client.peer.ended or client.peer.error is not None
    assert sum(client.right for client in clients) > CLIENTS
