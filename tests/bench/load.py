"""The load: servers and clients, each a process of its own, minimal so that two cores suffice.

    python -m tests.bench.load echo | unproxied | sink | hello_sink
    python -m tests.bench.load bulk | hello_bulk | trips | lines | churn | proxied | hellos | idle
                                                                              PORT TUNNELS AMOUNT
    python -m tests.bench.load sinks | readers                                PORT SINKS BYTES
    python -m tests.bench.load pour | tick                                    PORT LINES_A_S BYTES

A server prints its port. A client prepares, prints `ready`, waits for a line on standard input,
works, prints its figures as JSON, and keeps its connections open until standard input ends: the
caller reads CPU time and memory of the proxy after `ready` and after the figures. The consumers and
producers of a fan work once for each line; producers print no figures. Nothing here depends on the
proxy or on what is measured.
"""

import json
import os
import select
import socket
import ssl
import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from time import perf_counter, perf_counter_ns, sleep
from typing import NoReturn

LOOPBACK = "127.0.0.1"
MESSAGE = bytes(64)
LINE = b'{"id": 1, "op": "put", "text": "%s"}\n' % bytes(165).replace(b"\0", b"x")  # 200 bytes
CHUNK = 256 * 1024
# PROXY protocol, version 2: from 203.0.113.7:40000 to 192.0.2.1:443
PROXIED = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + bytes.fromhex("cb007107 c0000201 9c4001bb")
HEADER = struct.Struct("!Q")  # the length of a bulk stream: no half-close is needed
STAMPED = b'{"at": %020d, "text": "%s"}\n'  # the time in nanoseconds, always at STAMP
STAMP = slice(7, 27)
TIMED = 10  # readers whose latencies are recorded: more would slow down the other readers
WRITE = (b"x" * 4095 + b"\n") * 16  # 64 KiB of lines, for proxies that split the stream into lines
QUIET_S = 3.0  # if no data arrives for this time, data was lost
WARM_S = 0.2  # every code path has run a few thousand times by then


def client_hello() -> bytes:
    """Return what this interpreter's TLS sends first to a.example: 517 bytes with OpenSSL 3.0."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["h2", "http/1.1"])
    sent = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), sent, server_hostname="a.example")
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:  # the server's answer is missing
        pass
    return sent.read()


# --- servers


def listening() -> socket.socket:
    listener = socket.create_server((LOOPBACK, 0), backlog=4096)
    print(listener.getsockname()[1], flush=True)
    return listener


def echo(skip: int = 0) -> NoReturn:
    """Send back whatever comes, after the first `skip` bytes of each connection."""
    skips: dict[int, int] = {}
    listener = listening()
    listener.setblocking(False)
    ears = listener.fileno()
    epoll = select.epoll()
    epoll.register(ears, select.EPOLLIN)
    poll, read, write, close = epoll.poll, os.read, os.write, os.close
    while True:
        for fd, _ in poll():
            if fd == ears:
                try:
                    accepted, _ = listener.accept()
                except BlockingIOError:
                    continue
                accepted.setblocking(False)
                fd = accepted.detach()
                epoll.register(fd, select.EPOLLIN)
                if skip:
                    skips[fd] = skip
                continue
            try:
                data = read(fd, CHUNK)
                if data and fd in skips:
                    left = skips.pop(fd)
                    if len(data) <= left:
                        skips[fd] = left - len(data)
                        continue
                    data = data[left:]
                if data:
                    write(fd, data)
                else:
                    close(fd)
            except ConnectionError:
                close(fd)


def unproxied() -> NoReturn:
    """As `echo`, without the PROXY header that each connection begins with."""
    echo(len(PROXIED))


def hello_sink() -> NoReturn:
    """As `sink`, of streams that begin with a ClientHello."""
    sink(len(client_hello()))


def sink(skip: int = 0) -> NoReturn:
    """Read one stream after another; send one byte when a stream is complete."""
    listener = listening()
    space = bytearray(CHUNK)
    while True:
        stream, _ = listener.accept()
        with stream:
            header = stream.recv(skip + HEADER.size, socket.MSG_WAITALL)[skip:]
            if len(header) < HEADER.size:  # a probe: a connection without data
                continue
            missing: int = HEADER.unpack(header)[0]
            while missing and (got := stream.recv_into(space)):
                missing -= got
            if not missing:
                stream.sendall(b"k")


# --- clients


def ready() -> None:
    print("ready", flush=True)
    sys.stdin.readline()


def print_figures(
    done: float, seconds: float, latencies: list[float] | None = None, **more: float
) -> None:
    figures = {"done": done, "seconds": seconds, **more}
    if latencies:
        ordered = sorted(latencies)
        figures["p50_us"] = ordered[len(ordered) // 2] * 1e6
        figures["p99_us"] = ordered[len(ordered) * 99 // 100] * 1e6
    print(json.dumps(figures), flush=True)


def report(
    done: float, seconds: float, latencies: list[float] | None = None, **more: float
) -> None:
    print_figures(done, seconds, latencies, **more)
    sys.stdin.read()


def connect(port: int) -> int:
    """Connect and return the descriptor: the loops below use no socket objects, to save time."""
    return socket.create_connection((LOOPBACK, port)).detach()


def echoed(fd: int, size: int = len(MESSAGE)) -> None:
    """Receive one complete message back."""
    got = len(os.read(fd, CHUNK))
    if got != size:
        sys.exit(f"{got} bytes came back where {size} were sent")


def hello_bulk(port: int, tunnels: int, size: float) -> None:
    """As `bulk`, after a ClientHello."""
    bulk(port, tunnels, size, client_hello())


def bulk(port: int, _tunnels: int, size: float, opening: bytes = b"") -> None:
    """Push `size` bytes through one tunnel. Reports GiB."""
    chunk = memoryview(bytes(CHUNK))
    with socket.create_connection((LOOPBACK, port)) as stream:
        ready()
        begin = perf_counter()
        stream.sendall(opening + HEADER.pack(int(size)))
        left = int(size)
        while left:
            left -= stream.send(chunk[:left])
        if stream.recv(1) != b"k":
            sys.exit("the stream was cut short")
        report(size / 2**30, perf_counter() - begin)


def trips(port: int, tunnels: int, seconds: float, message: bytes = MESSAGE) -> None:
    """Send a message on every tunnel and wait for its echo. Reports round trips and their
    latency."""
    fds = [connect(port) for _ in range(tunnels)]
    epoll = select.epoll()
    for fd in fds:
        epoll.register(fd, select.EPOLLIN)
    sent = [0.0] * (max(fds) + 1)

    def bounce(seconds: float) -> tuple[float, list[float]]:
        poll, write, take, now = epoll.poll, os.write, echoed, perf_counter
        size = len(message)
        latencies: list[float] = []
        flying = tunnels
        begin = now()
        end = begin + seconds
        for fd in fds:
            sent[fd] = now()
            write(fd, message)
        while flying:
            for fd, _ in poll():
                take(fd, size)
                back = now()
                latencies.append(back - sent[fd])
                if back < end:
                    sent[fd] = back
                    write(fd, message)
                else:
                    flying -= 1
        return now() - begin, latencies

    bounce(WARM_S)
    ready()
    spent, latencies = bounce(seconds)
    report(len(latencies), spent, latencies)


def lines(port: int, tunnels: int, seconds: float) -> None:
    """Send JSON lines and wait for their echo. Reports the same as `trips`."""
    trips(port, tunnels, seconds, LINE)


def proxied(port: int, tunnels: int, seconds: float) -> None:
    """As `churn`, with a PROXY header before the message, in one segment."""
    churn(port, tunnels, seconds, PROXIED + MESSAGE)


def hellos(port: int, tunnels: int, seconds: float) -> None:
    """As `churn`, with a ClientHello as the message."""
    hello = client_hello()
    churn(port, tunnels, seconds, hello, len(hello))


def churn(
    port: int, tunnels: int, seconds: float, message: bytes = MESSAGE, reply: int = len(MESSAGE)
) -> None:
    """Connect, make one round trip, close; `tunnels` at a time. Reports connections."""
    epoll = select.epoll()
    poll, close, take, now = epoll.poll, os.close, echoed, perf_counter
    began: dict[int, float] = {}

    def begin_one() -> None:
        begin = now()
        fd = connect(port)  # loopback: the kernel answers at once, the proxy accepts later
        os.write(fd, message)
        epoll.register(fd, select.EPOLLIN)
        began[fd] = begin

    def turn_over(seconds: float) -> tuple[float, list[float]]:
        latencies: list[float] = []
        begin = now()
        end = begin + seconds
        for _ in range(tunnels):
            begin_one()
        while began:
            for fd, _ in poll():
                take(fd, reply)
                close(fd)
                back = now()
                latencies.append(back - began.pop(fd))
                if back < end:
                    begin_one()
        return now() - begin, latencies

    turn_over(WARM_S)
    ready()
    spent, latencies = turn_over(seconds)
    report(len(latencies), spent, latencies)


def idle(port: int, tunnels: int, _amount: float) -> None:
    """Open tunnels, make one round trip on each so that both ends are connected, and keep them
    open. Reports how many."""

    def stand() -> int:
        fd = connect(port)
        os.write(fd, MESSAGE)
        echoed(fd)
        return fd

    os.close(stand())  # the first tunnel has costs that the others do not have
    ready()
    begin = perf_counter()
    for _ in range(tunnels):
        stand()
    report(tunnels, perf_counter() - begin)


# --- the consumers of a fan, and its producers


def sinks(port: int, number: int, size: float, timed: int = 0) -> None:
    """Receive `size` bytes at every sink except the first N, which do not read; N is the line on
    standard input. Reports bytes, and the latencies of stamped lines at the `timed` sinks."""
    streams = [socket.create_connection((LOOPBACK, port)) for _ in range(number)]
    latencies: list[float] = []
    takes = {stream.fileno(): swallower(stream) for stream in streams}
    for stream in streams[:: -(-number // timed)] if timed else ():
        takes[stream.fileno()] = timer(stream, latencies)
    print("ready", flush=True)
    for order in sys.stdin:
        awake = streams[int(order) :]
        begin = perf_counter()
        take_all([stream.fileno() for stream in awake], takes, int(size))
        print_figures(len(awake) * size, perf_counter() - begin, latencies)
        latencies.clear()


def readers(port: int, number: int, size: float) -> None:
    """Sinks of stamped lines."""
    sinks(port, number, size, timed=min(number, TIMED))


def take_all(fds: list[int], takes: dict[int, Callable[[], int]], size: int) -> None:
    missing = dict.fromkeys(fds, size)
    with select.epoll() as epoll:
        for fd in fds:
            epoll.register(fd, select.EPOLLIN)
        while missing:
            ready = epoll.poll(QUIET_S)
            if not ready:
                sys.exit(f"lost: {sum(missing.values())} of {len(fds) * size} bytes")
            for fd, _ in ready:
                got = takes[fd]()
                left = missing[fd] - got
                if left > 0 and got:
                    missing[fd] = left
                elif left:
                    sys.exit("a sink was closed early" if left > 0 else "a sink got too much")
                else:
                    del missing[fd]
                    epoll.unregister(fd)


def swallower(stream: socket.socket) -> Callable[[], int]:
    """Return a function that discards received data in the kernel, without a copy."""
    return partial(stream.recv_into, bytearray(CHUNK), CHUNK, socket.MSG_TRUNC)


def timer(stream: socket.socket, latencies: list[float]) -> Callable[[], int]:
    """Return a function that receives data and records the age of each line."""
    begun = b""

    def take() -> int:
        nonlocal begun
        data = stream.recv(CHUNK)
        now = perf_counter_ns()
        begun += data
        whole = len(begun) // len(LINE) * len(LINE)
        lines = (begun[at:][STAMP] for at in range(0, whole, len(LINE)))
        latencies.extend((now - int(stamp)) / 1e9 for stamp in lines)
        begun = begun[whole:]
        return len(data)

    return take


@contextmanager
def producing(port: int) -> Iterator[socket.socket]:
    with socket.create_connection((LOOPBACK, port)) as stream:
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        print("ready", flush=True)
        yield stream


def pour(port: int, _pace: int, size: float) -> None:
    """Write `size` bytes as fast as the proxy accepts them, 64 KiB at a time."""
    with producing(port) as stream:
        for _ in sys.stdin:
            for _ in range(int(size) // len(WRITE)):
                stream.sendall(WRITE)


def tick(port: int, pace: int, size: float) -> None:
    """Write `size` bytes in stamped lines, `pace` of them a second."""
    text = b"x" * (len(LINE) - len(STAMPED % (0, b"")))
    with producing(port) as stream:
        for _ in sys.stdin:
            due = perf_counter()
            for _ in range(int(size) // len(LINE)):
                sleep(max(0.0, due - perf_counter()))
                stream.sendall(STAMPED % (perf_counter_ns(), text))
                due += 1 / pace


SERVERS: dict[str, Callable[[], NoReturn]] = {
    "echo": echo,
    "unproxied": unproxied,
    "sink": sink,
    "hello_sink": hello_sink,
}
CLIENTS: dict[str, Callable[[int, int, float], None]] = {
    "bulk": bulk,
    "hello_bulk": hello_bulk,
    "trips": trips,
    "lines": lines,
    "churn": churn,
    "proxied": proxied,
    "hellos": hellos,
    "idle": idle,
    "sinks": sinks,
    "readers": readers,
    "pour": pour,
    "tick": tick,
}

if __name__ == "__main__":
    role, *numbers = sys.argv[1:]
    try:
        if role in SERVERS:
            SERVERS[role]()
        port, tunnels, amount = numbers
        CLIENTS[role](int(port), int(tunnels), float(amount))
    except OSError as error:
        sys.exit(f"{role}: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
