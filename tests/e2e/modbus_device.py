"""Devices for tests: pymodbus servers.

    python -m tests.e2e.modbus_device tcp|rtu PORT UNIT...
    python -m tests.e2e.modbus_device serial LINE UNIT...

`rtu` is RTU over TCP. Each unit has 100 registers, for functions 3 and 4: the one at address a of
unit u holds 100 * u + a. Its coils are on. Requests for other units are not answered.
"""

from __future__ import annotations

import asyncio
import sys

from pymodbus import FramerType
from pymodbus.exceptions import NoSuchIdException
from pymodbus.server import ModbusSerialServer, ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice


async def absent(*_: object) -> None:
    """Make the server silent. (`ignore_missing_devices` alone has no effect in pymodbus 3.16: for a
    unit that is not there it answers with exception 4.)"""
    raise NoSuchIdException


def device(unit: int) -> SimDevice:
    """Return the registers and coils of a unit; 0: of all units that are not there."""
    registers = [SimData(a, values=100 * unit + a, datatype=DataType.REGISTERS) for a in range(100)]
    coils = [SimData(0, values=True, count=100, datatype=DataType.BITS)]
    tables = (coils, coils, registers, registers)
    return SimDevice(unit, simdata=tables, action=None if unit else absent)


async def serve(kind: str, at: str, units: list[int]) -> None:
    """Serve until the process is ended."""
    devices = [device(unit) for unit in (0, *units)]
    if kind == "serial":
        line = ModbusSerialServer(
            devices, framer=FramerType.RTU, port=at, baudrate=9600, ignore_missing_devices=True
        )
        await line.serve_forever()
    else:
        framer = FramerType.RTU if kind == "rtu" else FramerType.SOCKET
        address = ("127.0.0.1", int(at))
        server = ModbusTcpServer(
            devices, framer=framer, address=address, ignore_missing_devices=True
        )
        await server.serve_forever()


if __name__ == "__main__":
    kind, at, *units = sys.argv[1:]
    asyncio.run(serve(kind, at, [int(unit) for unit in units]))
