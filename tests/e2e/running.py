"""Running: configurations, servers and helpers for tests of the real program."""

from __future__ import annotations

import random
import socket
import struct
from contextlib import closing, suppress

from vcproxy.testing.running import PATIENCE_S, VCPROXY, Running, connect, eventually

__all__ = ["PATIENCE_S", "VCPROXY", "Running", "connect", "eventually"]


def forward(
    *servers: str, bind: str = "tcp://127.0.0.1:0", listener: str = "", upstream: str = ""
) -> str:
    """A configuration that forwards from listener "in" to servers. `listener` and `upstream` are
    further lines of their tables."""
    quoted = ", ".join(f'"{server}"' for server in servers)
    return f"""
[[listener]]
name = "in"
bind = "{bind}"
plugin = "forward"
upstream = "out"
{listener}

[upstream.out]
servers = [{quoted}]
{upstream}
"""


ECHO = """
[[listener]]
name = "echo"
bind = "tcp://127.0.0.1:0"
plugin = "echo"
"""


PIECE = b"p" * 1_000_000


def reset(sock: socket.socket) -> None:
    """Close a socket with a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def all_of(sock: socket.socket) -> bytes:
    """Receive until the end of the stream. Raises ConnectionResetError after a reset."""
    received = bytearray()
    while piece := sock.recv(1 << 16):
        received += piece
    return bytes(received)


def exactly(sock: socket.socket, size: int) -> bytes:
    """Receive that many bytes."""
    received = bytearray()
    while len(received) < size:
        piece = sock.recv(size - len(received))
        assert piece, f"ended after {len(received)} of {size} bytes"
        received += piece
    return bytes(received)


def fill(sock: socket.socket) -> int:
    """Send until the socket is full; return how many bytes were accepted."""
    sock.settimeout(0.2)
    sent = 0
    try:
        while True:
            sent += sock.send(PIECE)
    except TimeoutError:
        sock.settimeout(PATIENCE_S)
        return sent


class Server(socket.socket):
    """A server in the test itself: `accept()` each connection."""

    def __init__(self, backlog: int = 128) -> None:
        super().__init__()
        self.bind(("127.0.0.1", 0))
        self.listen(backlog)
        self.settimeout(PATIENCE_S)

    @property
    def uri(self) -> str:
        """Its address."""
        return f"tcp://127.0.0.1:{self.getsockname()[1]}"

    def next(self) -> socket.socket:
        """The next connection."""
        sock, _ = self.accept()
        sock.settimeout(PATIENCE_S)
        return sock


def free_port(kind: int = socket.SOCK_STREAM) -> int:
    """A free port that the kernel does not assign for port 0."""
    while True:
        port = random.randrange(20_000, 32_768)  # the kernel assigns ports above these
        with suppress(OSError), closing(socket.socket(socket.AF_INET, kind)) as sock:
            sock.bind(("127.0.0.1", port))
            return port


def refusing() -> str:
    """The URI of a port that refuses connections."""
    return f"tcp://127.0.0.1:{free_port()}"
