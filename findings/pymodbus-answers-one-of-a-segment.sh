#!/bin/sh
# The TCP server of pymodbus answers the first of several requests that arrive in one segment, and
# none of the others; later requests are answered. Modbus/TCP numbers transactions, so that a client
# may send several before it has a reply (MODBUS Messaging on TCP/IP 1.0b, 4.2.2). A gateway in
# front of such a server must send one request at a time.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check pymodbus==3.16.1 2>/dev/null
"$folder/venv/bin/python" - <<'PYTHON'
import asyncio, socket, sys
from importlib.metadata import version

from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

def read(transaction):
    """A request for one register of unit 1."""
    return transaction.to_bytes(2, "big") + bytes.fromhex("0000 0006 01 03 0000 0001")

async def replies(*requests):
    """The numbers of the transactions that are answered within a second. Each of `requests` is sent
    in a segment of its own, after the answer to the one before."""
    registers = SimData(0, values=7, datatype=DataType.REGISTERS)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        address = probe.getsockname()
    server = ModbusTcpServer(SimDevice(1, simdata=registers), address=address)
    await server.serve_forever(background=True)
    reader, writer = await asyncio.open_connection(*address)
    answered = []
    for request in requests:
        writer.write(request)
        try:
            while reply := await asyncio.wait_for(reader.readexactly(11), 1):
                answered.append(int.from_bytes(reply[:2], "big"))
        except TimeoutError:
            pass
    writer.close()
    await server.shutdown()
    return answered

print("pymodbus", version("pymodbus"))
apart = asyncio.run(replies(read(1), read(2), read(3), read(4)))
together = asyncio.run(replies(read(1) + read(2) + read(3), read(4)))
print(f"requests 1, 2, 3, 4, each in a segment: {apart} are answered")
print(f"1, 2, 3 in one segment, then 4:         {together} are answered")
sys.exit(not (apart == [1, 2, 3, 4] and together == [1, 4]))
PYTHON
