"""What a unit of work costs in calls of Python functions: `python -m tests.bench.calls WORK`.

Unlike CPU time, the figures are the same in each run, on each machine with this interpreter. The
load is one client that waits for each response before it goes on. Shown: the functions that are
called, with calls for each unit.
"""

from __future__ import annotations

import argparse
import json
import socket
import ssl
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from .http.peers import HTTP_PEERS
from .load import client_hello
from .measure import settle
from .peer import LOOPBACK, Failed, Peer, running
from .peers import TUNNEL_PEERS
from .workloads import Sample

COUNTED = str(Path(__file__).with_name("counted.py"))
PEERS = TUNNEL_PEERS | HTTP_PEERS
MESSAGE = bytes(64)
BODY = bytes(1024)
REQUEST = b"GET /small HTTP/1.1\r\nHost: bench\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
UNLIKE = b"HTTP/1.1 200 OK\r\nX-Request-Id: %%d\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
WARM = 30
"""Units before the count: afterwards one-time work is done, and caches are filled."""
UNITS = 100
PATIENCE_S = 20.0

Unit = Callable[[int], None]
"""One unit of work, by its number."""

Load = Callable[[int], AbstractContextManager[Unit]]
"""Connects to the proxy's port; yields the function that does one unit of work."""

Calls = Mapping[str, float]
"""Function -> calls for each unit of work."""


# --- the load


def trip(stream: socket.socket, message: bytes = MESSAGE) -> None:
    """Send a message and receive it back. Raises Failed."""
    stream.sendall(message)
    if len(stream.recv(len(message), socket.MSG_WAITALL)) < len(message):
        raise Failed("the stream was cut")


def exchanged(stream: socket.socket, request: bytes = REQUEST) -> None:
    """Send a request and receive the complete response. Raises Failed."""
    stream.sendall(request)
    answer = b""
    while not answer.endswith(BODY):
        data = stream.recv(65536)
        if not data:
            raise Failed(f"the response was cut: {answer[:60]!r}")
        answer += data
    if not answer.startswith(b"HTTP/1.1 200 "):
        raise Failed(f"a wrong response: {answer[:60]!r}")


def connected(port: int) -> socket.socket:
    return socket.create_connection((LOOPBACK, port), PATIENCE_S)


def trusting() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


@contextmanager
def trips(port: int) -> Iterator[Unit]:
    with connected(port) as stream:
        yield lambda _: trip(stream)


@contextmanager
def churn(port: int) -> Iterator[Unit]:
    def connection(_: int) -> None:
        with connected(port) as stream:
            trip(stream)

    yield connection


@contextmanager
def hellos(port: int) -> Iterator[Unit]:
    hello = client_hello()

    def connection(_: int) -> None:
        with connected(port) as stream:
            trip(stream, hello)

    yield connection


@contextmanager
def gets(port: int) -> Iterator[Unit]:
    with connected(port) as stream:
        yield lambda _: exchanged(stream)


@contextmanager
def gets_unlike(port: int) -> Iterator[Unit]:
    with connected(port) as stream:
        yield lambda number: exchanged(stream, REQUEST.replace(b"small", b"unlike/%d" % number))


@contextmanager
def gets_tls(port: int) -> Iterator[Unit]:
    with trusting().wrap_socket(connected(port)) as stream:
        yield lambda _: exchanged(stream)


@contextmanager
def tls_full(port: int) -> Iterator[Unit]:
    context = trusting()

    def connection(_: int) -> None:
        with context.wrap_socket(connected(port)) as stream:
            exchanged(stream)

    yield connection


@contextmanager
def tls_resumed(port: int) -> Iterator[Unit]:
    context = trusting()
    session: ssl.SSLSession | None = None

    def connection(_: int) -> None:
        nonlocal session
        with context.wrap_socket(connected(port), session=session) as stream:
            exchanged(stream)
            if session and not stream.session_reused:
                raise Failed("the session was not resumed")
            session = stream.session

    yield connection


# --- the server behind


@contextmanager
def serving(converse: Callable[[socket.socket], None]) -> Iterator[int]:
    """Serve each connection in a thread of its own. Gives the port."""

    def serve() -> None:
        while True:
            try:
                stream, _ = listener.accept()
            except OSError:  # shut down
                return
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=converse, args=(stream,), daemon=True).start()

    with socket.create_server((LOOPBACK, 0), backlog=128) as listener:
        server = threading.Thread(target=serve)
        server.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)  # ends accept()
            server.join()


def echo(stream: socket.socket) -> None:
    with stream:
        while data := stream.recv(65536):
            stream.sendall(data)


def origin(stream: socket.socket) -> None:
    """Answer each request, heads and bodies in one piece each."""
    number = 0
    with stream:
        while data := stream.recv(65536):
            number += 1
            stream.sendall(UNLIKE % number if b"/unlike/" in data else ANSWER)


# --- the workloads


@dataclass(frozen=True, slots=True)
class Counted:
    """Calls of Python functions for each unit of work. The rate is calls of builtin functions.
    See `usual`."""

    name: str
    title: str
    load: Load
    server: Callable[[socket.socket], None]
    peers: tuple[str, ...]
    cost_unit: str = "calls"
    rate_unit: str = "C calls"

    def suits(self, peer: Peer) -> bool:
        return peer.name in self.peers

    def measure(self, peer: Peer) -> Sample:
        """Count once, with everything fresh. Raises Failed."""
        functions, builtins = self.counts(peer)
        return Sample(usual(functions), usual(builtins))

    def counts(self, peer: Peer) -> tuple[Calls, Calls]:
        """Return calls of Python functions and of builtin ones. Raises Failed."""
        with serving(self.server) as server, tempfile.TemporaryDirectory() as scratch:
            place = str(Path(scratch, "calls"))
            with (
                running(counting(peer, place), server) as (pid, port),
                self.load(port) as unit,
            ):
                for number in range(WARM):
                    unit(number)
                settle(pid)
                before = read(place)
                for number in range(WARM, WARM + UNITS):
                    unit(number)
                settle(pid)
                after = read(place)
        functions, builtins = (
            {name: (calls - b.get(name, 0)) / UNITS for name, calls in a.items()}
            for a, b in zip(after, before, strict=True)
        )
        return functions, builtins


def usual(calls: Calls) -> int:
    """Return how many calls a unit of work usually takes: those of each function, rounded.

    Work that is done only now and then is not counted: for example a timer's, which runs more often
    on a slow machine for the same number of units.
    """
    return sum(map(round, calls.values()))


def counting(peer: Peer, place: str) -> Peer:
    """Return the peer with its calls counted."""
    plain, counted = f"{sys.executable} -m ", f"{sys.executable} {COUNTED} {place} "
    if peer.command[:2] == (sys.executable, "-m"):
        return replace(peer, command=(sys.executable, COUNTED, place, *peer.command[2:]))
    return replace(peer, command=tuple(word.replace(plain, counted) for word in peer.command))


def read(place: str) -> list[dict[str, int]]:
    """Return the counts so far."""
    with socket.socket(socket.AF_UNIX) as stream:
        stream.connect(place)
        with stream.makefile("rb") as counts:
            read: list[dict[str, int]] = json.load(counts)
    return read


def workloads() -> dict[str, Counted]:
    """Every workload by name."""
    tunnels = ("vcproxy", "before")
    http = ("vcproxy-http", "before-http", "vcproxy-heads", "before-heads")
    tls = ("vcproxy-tls", "before-tls")

    def counted(name: str, title: str, load: Load, peers: tuple[str, ...]) -> Counted:
        server = origin if peers[0] in (http[0], tls[0]) else echo
        return Counted(f"calls-{name}", f"calls: {title}", load, server, peers)

    every = (
        counted("trips", "64-byte round trip", trips, tunnels),
        counted("churn", "connect, echo, close", churn, (*tunnels, "vcproxy-access-log")),
        counted("sni", "the same, routed by SNI", hellos, ("vcproxy-sni", "vcproxy-unrouted")),
        counted("http", "GET of 1 KiB, kept", gets, http),
        counted("http-unlike", "no two alike", gets_unlike, http[:2]),
        counted("http-tls", "the same behind TLS", gets_tls, tls),
        counted("tls-full", "TLS connection with one GET", tls_full, tls),
        counted("tls-resumed", "the same, resumed", tls_resumed, tls[:1]),
    )
    return {workload.name: workload for workload in every}


def main() -> int:
    known = workloads()
    parser = argparse.ArgumentParser("python -m tests.bench.calls", description=__doc__)
    parser.add_argument("work", choices=known)
    parser.add_argument("-p", "--peer", help="one of its peers (the first)")
    parser.add_argument("-n", type=int, default=1000, metavar="N", help="so many functions (all)")
    chosen = parser.parse_args()
    work = known[chosen.work]
    for title, calls in zip(
        ("Python", "builtin"), work.counts(PEERS[chosen.peer or work.peers[0]]), strict=True
    ):
        print(f"{title} functions: {sum(calls.values()):.2f} calls for each unit")
        often = sorted(calls.items(), key=lambda each: -each[1])
        for name, each in often[: chosen.n]:
            if each >= 0.01:
                print(f"{each:8.2f}  {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
