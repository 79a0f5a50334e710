#!/bin/sh
# A server of pymodbus answers requests for units that it does not have with exception 4, also on a
# serial line, where all devices hear each request, and only the one with its unit id may answer
# (MODBUS over Serial Line 1.02, 2.1). The argument ignore_missing_devices=True, "to not send errors
# on a missing device", has no effect.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check pymodbus==3.16.1 2>/dev/null
"$folder/venv/bin/python" - 2>/dev/null <<'PYTHON'
import asyncio, socket, sys
from importlib.metadata import version

from pymodbus import FramerType
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

async def asked(unit):
    """The answer of a server that has unit 1, in RTU; b"": none within a second."""
    registers = SimData(0, values=7, datatype=DataType.REGISTERS)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        address = probe.getsockname()
    server = ModbusTcpServer(
        SimDevice(1, simdata=registers),
        framer=FramerType.RTU,
        address=address,
        ignore_missing_devices=True,
    )
    await server.serve_forever(background=True)
    reader, writer = await asyncio.open_connection(*address)
    writer.write(READ[unit])
    try:
        answer = await asyncio.wait_for(reader.read(100), 1)
    except TimeoutError:
        answer = b""
    writer.close()
    await server.shutdown()
    return answer

# one register at address 0, of units 1 and 2
READ = {1: bytes.fromhex("01 03 0000 0001 840a"), 2: bytes.fromhex("02 03 0000 0001 8439")}
print("pymodbus", version("pymodbus"))
here, missing = asyncio.run(asked(1)), asyncio.run(asked(2))
print("unit 1, which it has:     ", here.hex(" "))
print("unit 2, which it does not:", missing.hex(" ") or "no answer")
sys.exit(not (here[:3] == b"\1\3\2" and missing[:3] == b"\2\x83\4"))
PYTHON
