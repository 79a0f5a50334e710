"""Four relays as an experienced developer writes them: asyncio or uvloop, streams or Protocol.

    python -m tests.bench.relays asyncio|uvloop streams|protocol LISTEN_PORT SERVER_PORT

The benchmark compares vcproxy with them. They must stay idiomatic: with backpressure and
half-close, without special optimisations.
"""

import asyncio
import sys
from asyncio import StreamReader, StreamWriter
from typing import cast

LOOPBACK = "127.0.0.1"
BACKLOG = 1024


# --- streams


async def pump(reader: StreamReader, writer: StreamWriter) -> None:
    """Move one direction until its source ends, then end its sink."""
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.write_eof()


async def relay_streams(listen: int, server: int) -> None:
    async def relay(reader: StreamReader, writer: StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection(LOOPBACK, server)
            try:
                await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))
            finally:
                far_writer.close()
        except OSError:
            pass
        finally:
            writer.close()

    async with await asyncio.start_server(relay, LOOPBACK, listen, backlog=BACKLOG) as listener:
        await listener.serve_forever()


# --- Protocol


class End(asyncio.Protocol):
    """One end of a tunnel: what it receives goes to the other end, at the other end's pace."""

    transport: asyncio.Transport
    other: "End"
    ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.other.transport.write(data)

    def eof_received(self) -> bool:
        self.ended = True
        self.other.transport.write_eof()
        return not self.other.ended  # stays open while the other direction runs

    def pause_writing(self) -> None:
        self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        self.other.transport.resume_reading()

    def connection_lost(self, error: Exception | None) -> None:
        self.other.transport.close()


class Accepted(asyncio.Protocol):
    """A client whose connection to the server is not open yet."""

    def __init__(self, server: int) -> None:
        self.server = server
        self.early: list[bytes] = []  # uvloop may read once more after pause_reading()
        self.ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.joining = asyncio.ensure_future(self.join())

    def data_received(self, data: bytes) -> None:
        self.early.append(data)

    def eof_received(self) -> bool:
        self.ended = True
        return True

    async def join(self) -> None:
        self.transport.pause_reading()
        client, server = End(), End()
        client.other, server.other = server, client
        client.transport = self.transport
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(lambda: server, LOOPBACK, self.server)
        except OSError:
            self.transport.close()
            return
        self.transport.set_protocol(client)
        server.transport.writelines(self.early)
        if self.ended:
            client.eof_received()
        else:
            self.transport.resume_reading()


async def relay_protocol(listen: int, server: int) -> None:
    loop = asyncio.get_running_loop()
    async with await loop.create_server(
        lambda: Accepted(server), LOOPBACK, listen, backlog=BACKLOG
    ) as listener:
        await listener.serve_forever()


if __name__ == "__main__":
    library, style, listen, server = sys.argv[1:]
    relay = {"streams": relay_streams, "protocol": relay_protocol}[style]
    try:
        if library == "uvloop":
            import uvloop

            uvloop.run(relay(int(listen), int(server)))
        else:
            asyncio.run(relay(int(listen), int(server)))
    except KeyboardInterrupt:
        sys.exit(130)
