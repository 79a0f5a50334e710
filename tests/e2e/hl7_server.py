"""A server of python-hl7 for tests: it answers each message with the library's own acknowledgement.

    python -m tests.e2e.hl7_server PORT ACK_CODE

It prints MSH-10 of each message that it has received. It is a process of its own because an
asyncio server and the blocking client of the same library do not share a thread.
"""

import asyncio
import sys
from asyncio import IncompleteReadError

from hl7.mllp import HL7StreamReader, HL7StreamWriter, start_hl7_server


async def serve(port: int, code: str) -> None:
    """Answer the messages of every client with this code."""

    async def client(reader: HL7StreamReader, writer: HL7StreamWriter) -> None:
        try:
            while True:
                message = await reader.readmessage()
                print(message.segment("MSH")(10), flush=True)
                writer.writemessage(message.create_ack(code))
                await writer.drain()
        except (IncompleteReadError, ConnectionError):
            writer.close()

    async with await start_hl7_server(client, "127.0.0.1", port, encoding="utf-8") as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), sys.argv[2]))
