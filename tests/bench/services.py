"""Two services as an experienced developer writes them with asyncio streams, as short as possible.

    python -m tests.bench.services validate|split LISTEN_PORT SERVER_PORT

validate forwards lines that are JSON objects with an id; split shares one connection, to a server
that answers in order, among all clients. The benchmark compares vcproxy with them: memory is
bounded, and there are no special optimisations.
"""

import asyncio
import json
import sys
from asyncio import StreamReader, StreamWriter
from collections import deque

from .relays import BACKLOG, LOOPBACK, pump


async def validate(listen: int, server: int) -> None:
    async def serve(reader: StreamReader, writer: StreamWriter) -> None:
        far_writer = answers = None
        try:
            while line := await reader.readline():
                if "id" not in json.loads(line):
                    break
                if far_writer is None:
                    far_reader, far_writer = await asyncio.open_connection(LOOPBACK, server)
                    answers = asyncio.create_task(pump(far_reader, writer))
                far_writer.write(line)
                await far_writer.drain()
            if far_writer is not None and answers is not None:
                far_writer.write_eof()
                await answers
        except (OSError, ValueError):  # ValueError: bad JSON, or a line over the limit
            pass
        finally:
            if far_writer is not None:
                far_writer.close()
            writer.close()

    await served(serve, listen)


async def split(listen: int, server: int) -> None:
    far_reader, far_writer = await asyncio.open_connection(LOOPBACK, server)
    owed: deque[StreamWriter] = deque()

    async def answer() -> None:
        while line := await far_reader.readline():
            writer = owed.popleft()
            writer.write(line)
            await writer.drain()
        sys.exit("the server has gone")

    async def serve(reader: StreamReader, writer: StreamWriter) -> None:
        try:
            while line := await reader.readline():
                owed.append(writer)
                far_writer.write(line)
                await far_writer.drain()
        except (OSError, ValueError):
            writer.close()

    answering = asyncio.create_task(answer())
    await served(serve, listen)
    await answering


async def served(serve: object, listen: int) -> None:
    async with await asyncio.start_server(serve, LOOPBACK, listen, backlog=BACKLOG) as listener:  # type: ignore[arg-type]
        await listener.serve_forever()


if __name__ == "__main__":
    name, listen, server = sys.argv[1:]
    try:
        asyncio.run({"validate": validate, "split": split}[name](int(listen), int(server)))
    except KeyboardInterrupt:
        sys.exit(130)
