"""HTTP clients that h2load lacks: `python -m tests.bench.http.load ROLE PORT N SECONDS`.

Each prints the same lines in the same order as a client of `tests.bench.load`.
"""

import os
import select
import socket
import ssl
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter

from tests.bench.load import CHUNK, LOOPBACK, WARM_S, connect, ready, report

GET = b"GET /small HTTP/1.1\r\nHost: bench\r\n\r\n"
BEGUN = b"GET /small HTTP/1.1\r\nHost: bench\r\nX-Slow: "
SMALL = 1024
BRISK = 16
"""Clients that send complete requests while the slow ones are still open."""
DRIP_S = 0.25
EARLY_S, LATE_S = 0.1, 5.0
"""How much before or after the limit a slow client may be closed, at most."""


def whole(answer: bytes) -> bool:
    """Whether the answer is complete; ends the load if it is not the one expected."""
    head, end, body = answer.partition(b"\r\n\r\n")
    if (end and not head.startswith(b"HTTP/1.1 200 ")) or len(body) > SMALL:
        sys.exit(f"a wrong answer: {answer[:60]!r}")
    return len(body) == SMALL


def received(fd: int) -> bytes:
    data = os.read(fd, CHUNK)
    if not data:
        sys.exit("a client in good standing was closed")
    return data


def kept(port: int, clients: int, _seconds: float) -> None:
    """Open connections, get one response on each, and keep them open. Reports how many."""

    def stand() -> int:
        fd = connect(port)
        os.write(fd, GET)
        answer = received(fd)
        while not whole(answer):
            answer += received(fd)
        return fd

    os.close(stand())  # the first connection has costs that the others do not have
    ready()
    begin = perf_counter()
    standing = select.poll()
    for _ in range(clients):
        standing.register(stand(), select.POLLIN)
    spent = perf_counter() - begin
    if closed := standing.poll(0):
        sys.exit(f"{len(closed)} of {clients} idle clients were closed")
    report(clients, spent)


def slow(port: int, clients: int, limit: float) -> None:
    """Send endless requests byte by byte until the proxy has closed all of them. Other clients send
    complete requests meanwhile. Reports the responses and latency of the others, and how many
    seconds after the limit the last slow client was closed."""
    epoll = select.epoll()
    now = perf_counter
    answers: dict[int, bytes] = {}
    sent_at: dict[int, float] = {}
    born: dict[int, float] = {}
    latencies: list[float] = []
    last = 0.0

    def ask(fd: int) -> None:
        answers[fd] = b""
        sent_at[fd] = now()
        os.write(fd, GET)

    def served(fd: int) -> None:
        answers[fd] += received(fd)
        if whole(answers[fd]):
            latencies.append(now() - sent_at[fd])
            if born:
                ask(fd)
            else:
                del answers[fd]

    def refused(fd: int) -> None:
        nonlocal last
        try:
            if os.read(fd, CHUNK):  # an error response comes before the end
                return
        except ConnectionError:
            pass
        age = now() - born.pop(fd)
        if age < limit - EARLY_S:
            sys.exit(f"a slow client was closed after {age:.1f} s of {limit:g} s")
        last = max(last, age)
        os.close(fd)

    def drip() -> None:
        for fd in born:
            try:
                os.write(fd, b"x")
            except ConnectionError:  # closed by the proxy: `refused` reads the end
                pass

    brisk = [connect(port) for _ in range(BRISK)]
    ready()
    begin = now()
    for _ in range(clients):
        fd = connect(port)
        born[fd] = now()
        os.write(fd, BEGUN)
    takes: dict[int, Callable[[int], None]] = dict.fromkeys(born, refused)
    takes |= dict.fromkeys(brisk, served)
    for fd in takes:
        epoll.register(fd, select.EPOLLIN)
    for fd in brisk:
        ask(fd)
    due = now() + DRIP_S
    while born or answers:
        for fd, _ in epoll.poll(max(0.0, due - now())):
            takes[fd](fd)
        if now() >= due:
            drip()
            due += DRIP_S
        if now() - begin > limit + LATE_S:
            sys.exit(f"{len(born)} of {clients} slow clients are still open")
    report(len(latencies), now() - begin, latencies, late_s=last - limit)


def handshakes(port: int, clients: int, seconds: float, resumed: bool = False) -> None:
    """Connect with TLS, get one response, close; `clients` at a time, a thread for each. Reports
    connections and their latency. Either all are resumed except the first of each client, or
    none."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE

    def connections(seconds: float) -> list[float]:
        latencies: list[float] = []
        session: ssl.SSLSession | None = None
        end = perf_counter() + seconds
        while (begin := perf_counter()) < end:
            plain = socket.create_connection((LOOPBACK, port))
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with context.wrap_socket(plain, session=session) as stream:
                stream.sendall(GET)
                answer = stream.recv(CHUNK)
                while not whole(answer):
                    answer += stream.recv(CHUNK) or sys.exit("a client was closed")
                if session and not stream.session_reused:
                    sys.exit("a session was not resumed")
                if resumed:  # the ticket has come before the response
                    session = stream.session
            latencies.append(perf_counter() - begin)
        return latencies

    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(connections, [WARM_S] * clients))
        ready()
        begin = perf_counter()
        latencies = [one for each in pool.map(connections, [seconds] * clients) for one in each]
        spent = perf_counter() - begin
    report(len(latencies), spent, latencies)


def resumptions(port: int, clients: int, seconds: float) -> None:
    """Connect as `handshakes` does, with the session of the connection before."""
    handshakes(port, clients, seconds, resumed=True)


CLIENTS: dict[str, Callable[[int, int, float], None]] = {
    "kept": kept,
    "slow": slow,
    "handshakes": handshakes,
    "resumptions": resumptions,
}

if __name__ == "__main__":
    role, port, clients, seconds = sys.argv[1:]
    try:
        CLIENTS[role](int(port), int(clients), float(seconds))
    except OSError as error:
        sys.exit(f"{role}: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
