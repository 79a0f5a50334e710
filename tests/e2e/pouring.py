"""Pouring: a program that sends, and counts the bytes that its kernel accepts, until it is killed.

    python pouring.py ACCOUNT '{"connect": ["127.0.0.1", 80], "head": "...", ...}'

Its data are numbered lines, so that the receiver can check any part of them: see `poured`.
"""

from __future__ import annotations

import json
import mmap
import os
import resource
import signal
import socket
import ssl
import sys
from typing import Any

LINE = 16
ROOM = 16
"""Size of the shared memory: the number of sent bytes, and whether sending is blocked."""

PIECE = 10_007
CHUNK = 100_003


def poured(size: int, begin: int = 0) -> bytes:
    """Return the numbered lines that are sent, from an offset on."""
    first, skipped = divmod(begin, LINE)
    count = (skipped + size) // LINE + 1
    return b"".join(b"%015d\n" % n for n in range(first, first + count))[skipped : skipped + size]


def connected(place: dict[str, Any]) -> socket.socket:
    """Connect; or listen, print the address, and accept."""
    if "connect" in place:
        sock = socket.create_connection(place["connect"])
        if "ca" in place:
            trusting = ssl.create_default_context(cafile=place["ca"])
            sock = trusting.wrap_socket(sock, server_hostname="localhost")
        return sock
    with socket.create_server(("127.0.0.1", 0)) as server:
        print(server.getsockname()[1], flush=True)
        sock, _ = server.accept()
    if "key" in place:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(place["certificate"], place["key"])
        sock = context.wrap_socket(sock, server_side=True)
    return sock


def crowd(place: dict[str, Any]) -> list[socket.socket]:
    """Open many connections, and send half a message on each."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    begun = place["head"].encode() + poured(PIECE)
    everybody = []
    for _ in range(place["crowd"]):
        sock = socket.create_connection(place["connect"])
        sock.setblocking(False)
        sock.send(begun)
        everybody.append(sock)
    return everybody


def by_datagrams(place: dict[str, Any], shared: memoryview) -> None:
    """Send the given number of datagrams, or receive them and check their order; then kill
    itself."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        if "connect" in place:
            sock.connect(tuple(place["connect"]))
            if "head" in place:
                sock.send(place["head"].encode())
        else:
            sock.bind(("127.0.0.1", 0))
            print(sock.getsockname()[1], flush=True)
        for number in range(place.get("sends_datagrams", 0)):
            sock.send(poured(LINE, number * LINE))
        for number in range(place.get("reads_datagrams", 0)):
            assert sock.recv(100) == poured(LINE, number * LINE)
            shared[0] = number + 1
        os.kill(os.getpid(), signal.SIGKILL)


def main(account: str, words: str) -> None:
    """Send as `words`, a JSON object, describes, until the process is killed."""
    with open(account, "r+b") as file:
        shared = memoryview(mmap.mmap(file.fileno(), ROOM)).cast("Q")
    place = json.loads(words)
    if "sends_datagrams" in place or "reads_datagrams" in place:
        by_datagrams(place, shared)
    if "crowd" in place:
        everybody = crowd(place)
        shared[1] = len(everybody) > 0
        signal.pause()
    sock = connected(place)
    got = b""
    while place.get("until", "").encode() not in got:
        got += sock.recv(1 << 16)
    sock.sendall(place.get("head", "").encode())
    most, chunked = place.get("size", 1 << 40), place.get("chunked", False)
    sock.settimeout(0.3)
    while shared[0] < most:
        size = min(CHUNK if chunked else PIECE, most - shared[0])
        piece = data = poured(size, shared[0])
        if chunked:
            data = b"%x\r\n%b\r\n" % (len(piece), piece)
        before, done = shared[0], 0
        while done < len(data):
            try:
                done += sock.send(data[done:])
            except TimeoutError:
                shared[1] = 1
            ahead = len(data) - len(piece) - 2 if chunked else 0
            shared[0] = before + min(max(done - ahead, 0), size)
    shared[1] = 1
    while True:
        if place.get("reads"):
            sock.settimeout(None)
            sock.recv(1 << 16)
        else:
            signal.pause()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
