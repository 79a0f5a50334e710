"""The load of transport streams: who sends a group datagrams, and viewers who receive them.

    python -m tests.bench.ts_load sender          PORT DATAGRAMS_A_S DATAGRAMS
    python -m tests.bench.ts_load http | raw      PORT VIEWERS DATAGRAMS [ASLEEP]

Both print `ready`, and begin when a line comes on standard input. The viewers end when they have
all datagrams, or get nothing for three seconds. The first ASLEEP of them read nothing. Their
figures: `done`, the datagrams that arrived at the others; `lost`, those that did not. A packet that
is not whole, or out of order, ends them with an error.
"""

import select
import socket
import sys
from time import perf_counter, perf_counter_ns, sleep

from .load import CHUNK, LOOPBACK, print_figures, ready

GROUP = "239.1.1.1"
PACKET = 188
DATAGRAM = 7 * PACKET
PID = 256
QUIET_S = 3.0
GET = b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n"


def datagram(number: int) -> bytes:
    """Return seven packets with payload; the first has its number and the time."""
    packets = [
        bytes([0x47, PID >> 8, PID & 255, 0x10 | (7 * number + n) & 15]).ljust(PACKET, b"\xff")
        for n in range(7)
    ]
    stamp = number.to_bytes(8) + perf_counter_ns().to_bytes(8)
    packets[0] = packets[0][:4] + stamp + packets[0][20:]
    return b"".join(packets)


def sender(port: int, pace: int, count: int) -> None:
    """Send datagrams to the group, `pace` of them a second."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((LOOPBACK, 0))  # so that the group is reached on this interface
        sock.connect((GROUP, port))
        ready()
        due = perf_counter()
        for number in range(count):
            sleep(max(0.0, due - perf_counter()))
            sock.send(datagram(number))
            due += 1 / pace
        sys.stdin.read()


class Viewer:
    """A client that counts what arrives."""

    def __init__(self, port: int, http: bool) -> None:
        self.stream = socket.create_connection((LOOPBACK, port))
        self.got = 0
        self._last = -1
        self._begun = b""
        if http:
            self.stream.sendall(GET)
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += self.stream.recv(1)

    def take(self, latencies: list[float]) -> None:
        """Receive what is there."""
        data = self.stream.recv(CHUNK)
        now = perf_counter_ns()
        if not data:
            sys.exit("a viewer was closed early")
        self._begun += data
        whole = len(self._begun) // DATAGRAM * DATAGRAM
        for at in range(0, whole, DATAGRAM):
            if self._begun[at : at + DATAGRAM : PACKET] != 7 * b"\x47":
                sys.exit("a viewer got parts of packets")
            number = int.from_bytes(self._begun[at + 4 : at + 12])
            if number <= self._last:
                sys.exit("a viewer got packets out of order")
            self._last = number
            self.got += 1
            latencies.append((now - int.from_bytes(self._begun[at + 12 : at + 20])) / 1e9)
        self._begun = self._begun[whole:]


def viewers(port: int, number: int, count: int, *, http: bool, asleep: int = 0) -> None:
    """Receive `count` datagrams at every viewer that reads."""
    every = [Viewer(port, http) for _ in range(number)]
    latencies: list[float] = []
    ready()
    begin = last = perf_counter()
    awake = {each.stream.fileno(): each for each in every[asleep:]}
    with select.epoll() as epoll:
        for fd in awake:
            epoll.register(fd, select.EPOLLIN)
        while any(each.got < count for each in awake.values()):
            found = epoll.poll(QUIET_S)
            if not found:
                break
            for fd, _ in found:
                awake[fd].take(latencies)
            last = perf_counter()
    done = sum(each.got for each in awake.values())
    lost = len(awake) * count - done
    print_figures(done, last - begin, latencies, lost=lost)
    sys.stdin.read()


if __name__ == "__main__":
    role, *numbers = sys.argv[1:]
    port, number, count, *asleep = map(int, numbers)
    try:
        if role == "sender":
            sender(port, number, count)
        else:
            viewers(port, number, count, http=role == "http", asleep=sum(asleep))
    except OSError as error:
        sys.exit(f"{role}: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
