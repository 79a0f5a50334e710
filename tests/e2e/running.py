"""Running: what tests of the real program share, configurations and servers they play."""

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
    """A configuration that forwards listener "in" to servers; more lines for either table."""
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
    """Close it so that the peer sees a reset, not an end."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def all_of(sock: socket.socket) -> bytes:
    """Receive until the orderly end. Raises ConnectionResetError for any other."""
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
    """Send until nothing more is taken; return how much was."""
    sock.settimeout(0.2)
    sent = 0
    try:
        while True:
            sent += sock.send(PIECE)
    except TimeoutError:
        sock.settimeout(PATIENCE_S)
        return sent


class Server(socket.socket):
    """A server that the test plays itself, by hand: one `accept()` for each connection."""

    def __init__(self, backlog: int = 128) -> None:
        super().__init__()
        self.bind(("127.0.0.1", 0))
        self.listen(backlog)
        self.settimeout(PATIENCE_S)

    @property
    def uri(self) -> str:
        """Where it is."""
        return f"tcp://127.0.0.1:{self.getsockname()[1]}"

    def next(self) -> socket.socket:
        """The next connection."""
        sock, _ = self.accept()
        sock.settimeout(PATIENCE_S)
        return sock


def free_port(kind: int = socket.SOCK_STREAM) -> int:
    """A port that is free, and that the system gives to nobody who asks for any."""
    while True:
        port = random.randrange(20_000, 32_768)  # it gives those from there on
        with suppress(OSError), closing(socket.socket(socket.AF_INET, kind)) as sock:
            sock.bind(("127.0.0.1", port))
            return port


def refusing() -> str:
    """The URI of a port at which nobody listens."""
    return f"tcp://127.0.0.1:{free_port()}"
