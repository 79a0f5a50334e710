"""The load of Modbus gateways: a device, and its clients, each a process of its own.

    python -m tests.bench.modbus_load device
    python -m tests.bench.modbus_load poll | dead  PORT CLIENTS AMOUNT
    python -m tests.bench.modbus_load paced        PORT,DEVICE CLIENTS AMOUNT

It speaks as the module `load` does. Each client waits for the reply before it sends the next
request, each request reads other registers than the one before, and every byte of each reply is
checked: the registers hold a value of their unit and address. A reply that is wrong, and a request
that is not answered, are counted; the client goes on, on a new connection if need be.

poll: for AMOUNT seconds, as fast as possible. paced: the same at RATE requests a second, every
other one directly to the device, so that a disturbance affects both; it prints the delay of these
too. dead: AMOUNT requests, a fifth of them for a unit that never answers, which are right if the
answer is an exception.
"""

import os
import select
import struct
import sys
from collections.abc import Callable
from time import perf_counter
from typing import NoReturn

from .load import CHUNK, WARM_S, connect, listening, print_figures, ready

UNITS = 5
DEAD = 5
"""The unit that does not answer in `dead`."""
REGISTERS = 10
RATE = 500
"""Requests a second of `paced`: a fifth of what a processor of 2020 does with the slower proxy."""
PATIENCE_S = 20.0
"""A reply after this is lost: no proxy here waits so long for the device."""
EXCEPTIONS = (10, 11)
HEAD = struct.Struct(">HHHBB")
READ = struct.Struct(">HHHBBHH")
REPLY = struct.Struct(f">HHHBBB{REGISTERS}H")


def reply_to(transaction: int, unit: int, address: int) -> bytes:
    """Return what the device answers: register n of a unit holds n + 1000 * unit."""
    first = address + 1000 * unit
    values = [value & 0xFFFF for value in range(first, first + REGISTERS)]
    size = 2 * REGISTERS
    return REPLY.pack(transaction, 0, size + 3, unit, 3, size, *values)


def device() -> NoReturn:
    """Answer reads of registers, of all connections, in order; not those for the unit DEAD + 10 *
    n, which is what the clients of `dead` use."""
    listener = listening()
    listener.setblocking(False)
    ears = listener.fileno()
    epoll = select.epoll()
    epoll.register(ears, select.EPOLLIN)
    rest: dict[int, bytes] = {}
    size = READ.size
    while True:
        for fd, _ in epoll.poll():
            if fd == ears:
                try:
                    accepted, _ = listener.accept()
                except BlockingIOError:
                    continue
                accepted.setblocking(False)
                fd = accepted.detach()
                epoll.register(fd, select.EPOLLIN)
                rest[fd] = b""
                continue
            try:
                data = os.read(fd, CHUNK)
                if not data:
                    os.close(fd)
                    continue
                data = rest[fd] + data
                replies = []
                at = 0
                while at + size <= len(data):
                    transaction, _, _, unit, _, address, _ = READ.unpack_from(data, at)
                    at += size
                    if unit != 10 + DEAD:
                        replies.append(reply_to(transaction, unit, address))
                rest[fd] = data[at:]
                os.write(fd, b"".join(replies))
            except ConnectionError:
                os.close(fd)


class Client:
    """One connection, and the request that it waits for."""

    def __init__(self, number: int, port: int, first_unit: int) -> None:
        self.port = port
        self.fd = -1
        self.unit = first_unit
        self.first_unit = first_unit
        self.transaction = number
        self.address = number * REGISTERS
        self.sent_at = 0.0
        self.received = b""

    def send(self) -> None:
        """Send the next request: another unit, other registers."""
        self.transaction = (self.transaction + 1) & 0xFFFF
        self.unit = self.first_unit + (self.unit - self.first_unit + 1) % UNITS
        self.address = (self.address + 7) % 60_000
        self.sent_at = perf_counter()
        os.write(self.fd, READ.pack(self.transaction, 0, 6, self.unit, 3, self.address, REGISTERS))

    def is_right(self, reply: bytes) -> bool:
        """Return whether the reply has the registers, or for a dead unit an exception."""
        if self.unit == 10 + DEAD:
            wanted = HEAD.pack(self.transaction, 0, 3, self.unit, 0x83)
            return reply[:-1] == wanted and reply[-1] in EXCEPTIONS
        return reply == reply_to(self.transaction, self.unit, self.address)


class Crowd:
    """All clients, on one poll."""

    def __init__(self, port: int, clients: int, first_unit: int = 1) -> None:
        self.epoll = select.epoll()
        self.by_fd: dict[int, Client] = {}
        self.clients = [Client(number, port, first_unit) for number in range(clients)]
        self.latencies: list[float] = []
        self.wrong = 0
        self.lost = 0
        for client in self.clients:
            self.open(client)

    def open(self, client: Client) -> None:
        client.fd = connect(client.port)
        client.received = b""
        self.by_fd[client.fd] = client
        self.epoll.register(client.fd, select.EPOLLIN)

    def close(self, client: Client) -> None:
        del self.by_fd[client.fd]
        os.close(client.fd)

    def wait(self, timeout_s: float, answered: Callable[[Client], None]) -> None:
        """Receive replies; call `answered` for each request that is answered, or lost."""
        for fd, _ in self.epoll.poll(timeout_s):
            client = self.by_fd[fd]
            try:
                data = os.read(fd, CHUNK)
            except ConnectionError:
                data = b""
            if not data:
                self.lost += 1
                self.close(client)
                self.open(client)
                answered(client)
                continue
            client.received += data
            reply = client.received
            if len(reply) < 6 or len(reply) < 6 + (reply[4] << 8 | reply[5]):
                continue
            self.latencies.append(perf_counter() - client.sent_at)
            self.wrong += not client.is_right(reply)
            client.received = b""
            answered(client)

    def report(self, done: int, seconds: float, **more: float) -> None:
        print_figures(done, seconds, self.latencies, wrong=self.wrong, lost=self.lost, **more)
        self.latencies.clear()


def poll(port: int, clients: int, seconds: float) -> None:
    """Each client sends its next request as soon as the last one is answered."""
    crowd = Crowd(port, clients)

    def work(seconds: float) -> float:
        begin = perf_counter()
        end = begin + seconds
        flying = clients

        def answered(client: Client) -> None:
            nonlocal flying
            if perf_counter() < end:
                client.send()
            else:
                flying -= 1

        for client in crowd.clients:
            client.send()
        while flying:
            crowd.wait(PATIENCE_S, answered)
        return perf_counter() - begin

    work(WARM_S)
    crowd.latencies.clear()
    ready()
    spent = work(seconds)
    crowd.report(len(crowd.latencies), spent)
    sys.stdin.read()


def paced(port: int, device: int, clients: int, seconds: float) -> None:
    """The clients send in turn, RATE requests a second together, half of them to the device."""
    through, direct = Crowd(port, clients // 2), Crowd(device, clients // 2)

    def work(seconds: float) -> float:
        begin = perf_counter()
        idle = {crowd: list(crowd.clients) for crowd in (through, direct)}
        flying = {through: 0, direct: 0}
        turn, other = through, direct
        due = begin
        while due < begin + seconds or any(flying.values()):
            now = perf_counter()
            if due < begin + seconds and now >= due:
                due += 1 / RATE
                if idle[turn]:
                    idle[turn].pop(0).send()
                    flying[turn] += 1
                turn, other = other, turn
                continue
            left = due - now if due < begin + seconds else PATIENCE_S
            polls = {crowd.epoll.fileno(): crowd for crowd in (through, direct)}
            for fd in select.select(list(polls), [], [], left)[0]:
                crowd = polls[fd]

                def answered(client: Client, crowd: Crowd = crowd) -> None:
                    flying[crowd] -= 1
                    idle[crowd].append(client)

                crowd.wait(0, answered)
        return perf_counter() - begin

    work(WARM_S)
    through.latencies.clear()
    direct.latencies.clear()
    ready()
    spent = work(seconds)
    plain = sorted(direct.latencies)
    through.report(len(through.latencies), spent, direct_p99_us=plain[len(plain) * 99 // 100] * 1e6)
    sys.stdin.read()


def dead(port: int, clients: int, requests: float) -> None:
    """All clients together send so many requests, to units of which one is dead."""
    crowd = Crowd(port, clients, first_unit=11)
    ready()
    begin = perf_counter()
    unsent, flying = int(requests) - clients, clients

    def answered(client: Client) -> None:
        nonlocal unsent, flying
        if unsent:
            unsent -= 1
            client.send()
        else:
            flying -= 1

    for client in crowd.clients:
        client.send()
    while flying:
        crowd.wait(1.0, answered)
        late = perf_counter() - PATIENCE_S
        for client in crowd.clients:
            if client.sent_at < late and unsent + flying:
                sys.exit(f"no answer within {PATIENCE_S:.0f} s")
    crowd.report(int(requests), perf_counter() - begin)
    sys.stdin.read()


if __name__ == "__main__":
    role, *numbers = sys.argv[1:]
    try:
        if role == "device":
            device()
        port, clients, amount = numbers
        if role == "paced":
            ours, theirs = map(int, port.split(","))
            paced(ours, theirs, int(clients), float(amount))
        {"poll": poll, "dead": dead}[role](int(port), int(clients), float(amount))
    except OSError as error:
        sys.exit(f"{role}: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
