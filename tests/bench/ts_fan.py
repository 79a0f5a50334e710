"""A multicast group to HTTP clients as an experienced developer writes it, with asyncio.

    python -m tests.bench.ts_fan LISTEN_PORT GROUP_PORT

It checks nothing, and keeps whatever a client does not read: that is how such programs begin.
"""

import asyncio
import socket
import sys
from asyncio import DatagramProtocol, StreamReader, StreamWriter

from .relays import LOOPBACK
from .services import served
from .ts_load import GROUP

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: video/mp2t\r\nConnection: close\r\n\r\n"


class Group(DatagramProtocol):
    """Sends each datagram to all clients."""

    def __init__(self) -> None:
        self.clients: set[StreamWriter] = set()

    def datagram_received(self, data: bytes, addr: object) -> None:
        for client in self.clients:
            client.write(data)


async def main(listen: int, port: int) -> None:
    group = Group()
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((GROUP, port))
    member = socket.inet_aton(GROUP) + socket.inet_aton(LOOPBACK)
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
    await asyncio.get_running_loop().create_datagram_endpoint(lambda: group, sock=sock)

    async def join(reader: StreamReader, writer: StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(HEAD)
        group.clients.add(writer)
        try:
            while await reader.read(1024):
                pass
        except OSError:
            pass
        finally:
            group.clients.discard(writer)
            writer.close()

    await served(join, listen)


if __name__ == "__main__":
    try:
        asyncio.run(main(*map(int, sys.argv[1:])))
    except KeyboardInterrupt:
        sys.exit(130)
