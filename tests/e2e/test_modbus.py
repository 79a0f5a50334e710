"""The plugin modbus between real clients and devices: pymodbus, mbpoll, and lines of socat."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from random import Random

import pytest
from pymodbus.client import AsyncModbusTcpClient, ModbusTcpClient

from tests.e2e.conftest import Tools
from tests.e2e.running import PATIENCE_S, eventually, free_port
from vcproxy.testing.running import Starter

GATEWAY = """
[[listener]]
name = "modbus"
bind = "tcp://127.0.0.1:0"
plugin = "modbus"
upstream = "device"
options = {{ {options} }}

[upstream.device]
servers = ["{server}"]
"""

Device = Callable[..., str]


@pytest.fixture
def device(tools: Tools, tmp_path: Path) -> Device:
    """Start a device with some units; return the URI of its server."""

    def start(kind: str, *units: int) -> str:
        command = (sys.executable, "-m", "tests.e2e.modbus_device", kind)
        numbers = map(str, units)
        if kind == "serial":
            ours, theirs = tmp_path / "ours", tmp_path / "theirs"
            tools.start("socat", f"pty,raw,echo=0,link={ours}", f"pty,raw,echo=0,link={theirs}")
            eventually(lambda: ours.exists() and theirs.exists(), "the lines of socat")
            tools.start(*command, str(theirs), *numbers)
            return f"serial:{ours}?baud=9600"
        port = free_port()
        tools.serve(f"tcp://127.0.0.1:{port}", *command, str(port), *numbers)
        return f"tcp://127.0.0.1:{port}"

    return start


def options(kind: str) -> str:
    """The options for a kind of device. A serial line may be opened before the device is there."""
    return 'timeout = "2s", attempts = 20, queue_timeout = "1m", protocol = "%s"' % (
        "tcp" if kind == "tcp" else "rtu"
    )


@pytest.mark.parametrize("kind", ["tcp", "rtu", "serial"])
def test_clients_share_a_device(proxy: Starter, device: Device, kind: str) -> None:
    running = proxy(GATEWAY.format(options=options(kind), server=device(kind, 1, 2)))
    port = running.port("modbus")
    with ExitStack() as connected:
        clients = [
            connected.enter_context(ModbusTcpClient("127.0.0.1", port=port, timeout=PATIENCE_S))
            for _ in range(4)
        ]
        for number, client in enumerate(clients):
            unit = 1 + number % 2
            assert client.read_holding_registers(3, count=2, device_id=unit).registers == [
                100 * unit + 3,
                100 * unit + 4,
            ]
            assert client.read_coils(3, count=9, device_id=unit).bits[:9] == [True] * 9
            assert not client.write_registers(50 + number, [number, 7], device_id=unit).isError()
            assert client.read_input_registers(9, count=1, device_id=unit).registers == [
                100 * unit + 9
            ]
            assert client.read_holding_registers(99, count=2, device_id=unit).exception_code == 2
        for number, client in enumerate(clients):
            read = client.read_holding_registers(50 + number, count=1, device_id=1 + number % 2)
            assert read.registers == [number]
    running.stop()


@pytest.mark.parametrize("kind", ["tcp", "rtu", "serial"])
def test_a_unit_that_is_off_is_answered_for_by_the_gateway(
    proxy: Starter, device: Device, kind: str
) -> None:
    quick = options(kind).replace('"2s", attempts = 20', '"300ms", attempts = 1')
    running = proxy(GATEWAY.format(options=quick, server=device(kind, 1)))
    with ModbusTcpClient("127.0.0.1", port=running.port("modbus"), timeout=PATIENCE_S) as client:
        assert client.read_holding_registers(3, device_id=9).exception_code == 11
        # the device may be slow to start, or its process may have stopped for a moment
        eventually(
            lambda: client.read_holding_registers(3, device_id=1).registers == [103],
            "the reply of a unit that is there",
        )
    running.stop()


def test_a_device_that_is_not_there(proxy: Starter) -> None:
    server = f"tcp://127.0.0.1:{free_port()}"
    running = proxy(GATEWAY.format(options="", server=server))
    with ModbusTcpClient("127.0.0.1", port=running.port("modbus"), timeout=PATIENCE_S) as client:
        assert client.read_holding_registers(3, device_id=1).exception_code == 10
    running.stop()


def test_read_only_with_mbpoll(proxy: Starter, tools: Tools, device: Device) -> None:
    tools.require("mbpoll")
    rules = options("tcp") + ", read_only = true"
    running = proxy(GATEWAY.format(options=rules, server=device("tcp", 1)))
    poll = ("mbpoll", "-m", "tcp", "-p", str(running.port("modbus")), "-a", "1", "-0", "-1", "-q")
    shown = tools.run(*poll, "-t", "4", "-r", "5", "-c", "3", "127.0.0.1")
    assert [line.split() for line in shown.splitlines() if line.startswith(b"[")] == [
        [b"[5]:", b"105"],
        [b"[6]:", b"106"],
        [b"[7]:", b"107"],
    ]
    refused = tools.run(*poll, "-t", "4", "-r", "5", "127.0.0.1", "77", status=None)
    assert b"Illegal function" in refused
    running.stop()


CLIENTS, REQUESTS, DEAD = 50, 10_000, 5


async def poll(number: int, port: int) -> list[str]:
    """Read registers of the units that are not dead, at random; return what was wrong. Some
    ask the dead one too, once: each such request holds up the others for its time-outs."""
    random = Random(number)
    wrong = []
    client = AsyncModbusTcpClient("127.0.0.1", port=port, timeout=10 * PATIENCE_S, retries=0)
    assert await client.connect()
    for request in range(REQUESTS // CLIENTS):
        unit = DEAD if request == 9 and number % 25 == 0 else random.randrange(1, DEAD)
        address = random.randrange(98)
        reply = await client.read_holding_registers(address, count=2, device_id=unit)
        first = 100 * unit + address
        right = (
            reply.isError() and reply.exception_code == 11
            if unit == DEAD
            else reply.registers == [first, first + 1]
        )
        if not right:
            wrong.append(f"unit {unit}, address {address}: {reply}")
    client.close()
    return wrong


async def crowd(port: int) -> list[str]:
    """Run all clients."""
    wrong = await asyncio.gather(*(poll(number, port) for number in range(CLIENTS)))
    return [each for of in wrong for each in of]


def test_not_one_of_10000_replies_is_wrong_or_lost(proxy: Starter, device: Device) -> None:
    tries = 'timeout = "1s", attempts = 3, queue_timeout = "1m"'
    running = proxy(GATEWAY.format(options=tries, server=device("tcp", 1, 2, 3, 4)))
    assert asyncio.run(crowd(running.port("modbus"))) == []
    running.stop()
