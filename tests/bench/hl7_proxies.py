"""What an experienced developer writes for MLLP with python-hl7's own server, as short as possible.

    python -m tests.bench.hl7_proxies answer|forward|share LISTEN_PORT SERVER_PORT

answer acknowledges each message itself; forward opens a connection to the server for each client;
share sends the messages of all clients on one connection, one at a time. The last two forward what
python-hl7 parses, and answer AR for what is no HL7.
"""

import asyncio
import sys
from asyncio import IncompleteReadError, Lock

from hl7.exceptions import HL7Exception
from hl7.mllp import (
    HL7StreamReader,
    HL7StreamWriter,
    InvalidBlockError,
    open_hl7_connection,
    start_hl7_server,
)

from .relays import LOOPBACK

ENDS = (IncompleteReadError, InvalidBlockError, HL7Exception, OSError, ValueError)


async def answer(listen: int, _server: int) -> None:
    async def serve(reader: HL7StreamReader, writer: HL7StreamWriter) -> None:
        try:
            while True:
                message = await reader.readmessage()
                writer.writemessage(message.create_ack("AA"))
                await writer.drain()
        except ENDS:
            writer.close()

    await served(serve, listen)


async def forward(listen: int, server: int) -> None:
    async def serve(reader: HL7StreamReader, writer: HL7StreamWriter) -> None:
        far_reader, far_writer = await open_hl7_connection(LOOPBACK, server, encoding="utf-8")
        try:
            while True:
                far_writer.writemessage(await reader.readmessage())
                await far_writer.drain()
                writer.writemessage(await far_reader.readmessage())
                await writer.drain()
        except ENDS:
            pass
        finally:
            far_writer.close()
            writer.close()

    await served(serve, listen)


async def share(listen: int, server: int) -> None:
    far_reader, far_writer = await open_hl7_connection(LOOPBACK, server, encoding="utf-8")
    turn = Lock()

    async def serve(reader: HL7StreamReader, writer: HL7StreamWriter) -> None:
        try:
            while True:
                message = await reader.readmessage()
                async with turn:
                    far_writer.writemessage(message)
                    await far_writer.drain()
                    reply = await far_reader.readmessage()
                writer.writemessage(reply)
                await writer.drain()
        except ENDS:
            writer.close()

    await served(serve, listen)


async def served(serve: object, listen: int) -> None:
    async with await start_hl7_server(
        serve, LOOPBACK, listen, encoding="utf-8", backlog=1024
    ) as listener:
        await listener.serve_forever()


if __name__ == "__main__":
    name, listen, server = sys.argv[1:]
    kinds = {"answer": answer, "forward": forward, "share": share}
    try:
        asyncio.run(kinds[name](int(listen), int(server)))
    except KeyboardInterrupt:
        sys.exit(130)
