"""Two fan-outs as an experienced developer writes them: a plain copy loop, and asyncio streams.

    python -m tests.bench.fans copy-loop|streams-fan LISTEN_PORT SUBSCRIBERS_PORT

All data of a producer goes to every subscriber, at the pace of the slowest: without framing and lag
policies. The benchmark compares vcproxy with them: the shortest programs that lose no data, without
special optimisations.
"""

import asyncio
import select
import socket
import sys
from asyncio import StreamReader, StreamWriter

from .relays import BACKLOG, LOOPBACK
from .services import served

CHUNK = 256 * 1024


def copy_loop(listen: int, subscribers: int) -> None:
    """One thread and one buffer: a read, then a send to each subscriber."""
    producers = socket.create_server((LOOPBACK, listen))
    joining = socket.create_server((LOOPBACK, subscribers), backlog=BACKLOG)
    sinks: list[socket.socket] = []
    space = memoryview(bytearray(CHUNK))
    sources = {producers.fileno(): producers, joining.fileno(): joining}
    epoll = select.epoll()
    for fd in sources:
        epoll.register(fd, select.EPOLLIN)
    while True:
        for fd, _ in epoll.poll():
            source = sources[fd]
            if source is joining:
                sink, _ = joining.accept()
                sink.setblocking(False)
                sink.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sinks.append(sink)
            elif source is producers:
                producer, _ = producers.accept()
                sources[producer.fileno()] = producer
                epoll.register(producer, select.EPOLLIN)
            elif size := source.recv_into(space):
                spread(space[:size], sinks)
            else:
                del sources[fd]
                source.close()


def spread(data: memoryview, sinks: list[socket.socket]) -> None:
    """Send data to all sinks; wait for those whose socket buffers are full."""
    size = len(data)
    late: dict[int, tuple[socket.socket, int]] = {}
    for sink in sinks.copy():
        try:
            sent = sink.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            sinks.remove(sink)
            continue
        if sent < size:
            late[sink.fileno()] = sink, sent
    if not late:
        return
    poll = select.poll()
    for fd in late:
        poll.register(fd, select.POLLOUT)
    while late:
        for fd, _ in poll.poll():
            sink, sent = late[fd]
            try:
                sent += sink.send(data[sent:])
            except OSError:
                sinks.remove(sink)
                sent = size
            if sent < size:
                late[fd] = sink, sent
            else:
                del late[fd]
                poll.unregister(fd)


async def streams_fan(listen: int, subscribers: int) -> None:
    sinks: set[StreamWriter] = set()

    async def join(reader: StreamReader, writer: StreamWriter) -> None:
        sinks.add(writer)
        try:
            while await reader.read(CHUNK):
                pass
        except OSError:
            pass
        finally:
            sinks.discard(writer)
            writer.close()

    async def produce(reader: StreamReader, writer: StreamWriter) -> None:
        try:
            while data := await reader.read(CHUNK):
                for sink in sinks:
                    sink.write(data)
                for sink in tuple(sinks):
                    try:
                        await sink.drain()
                    except OSError:
                        sinks.discard(sink)
        except OSError:
            pass
        finally:
            writer.close()

    await asyncio.gather(served(join, subscribers), served(produce, listen))


if __name__ == "__main__":
    style, listen, subscribers = sys.argv[1:]
    try:
        if style == "copy-loop":
            copy_loop(int(listen), int(subscribers))
        else:
            asyncio.run(streams_fan(int(listen), int(subscribers)))
    except KeyboardInterrupt:
        sys.exit(130)
