"""The load of MLLP: a server that acknowledges, and clients. Each is a process of its own.

    python -m tests.bench.hl7_load server | silent
    python -m tests.bench.hl7_load clients PORT NUMBER SECONDS
    python -m tests.bench.hl7_load steady | dying | stalled  PORT NUMBER MESSAGES

A server prints its port; `silent` leaves each tenth message unanswered. The clients connect, print
`ready`, wait for a line on standard input, work, and print figures in JSON. `clients` send for this
time, each its next message when the last one is acknowledged. The others send these messages, and
report the percentage that was not answered within WAIT_S; beside those of `dying` and `stalled`
others die in the middle of a message, or send and do not read. All message control IDs differ; an
answer to another ID ends the load with an error. Nothing here uses a library of HL7, or the proxy.
"""

import os
import select
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from time import perf_counter
from typing import NoReturn

from .load import CHUNK, LOOPBACK, WARM_S, connect, listening, ready, report

MESSAGE = (
    b"\x0bMSH|^~\\&|LAB|NORTH|EHR|SOUTH|20261130115000||ORU^R01^ORU_R01|%b|P|2.5.1\r"
    b"PID|1||7^^^NORTH||DOE^JANE||19700101|F\r"
    b"OBR|1||42|GLU^GLUCOSE^L|||20261130114500\r"
    + b"".join(b"OBX|%d|NM|GLU^GLUCOSE^L||5.%d|mmol/L|3.9-6.1|N|||F\r" % (n, n) for n in range(6))
    + b"\x1c\r"
)
"""About 500 bytes: six results of a laboratory."""
ACK = b"\x0bMSH|^~\\&|EHR|SOUTH|LAB|NORTH|20261130115000||ACK^R01^ACK|%b|P|2.5.1\rMSA|AA|%b\r\x1c\r"
WAIT_S = 3.0
"""More than the time-out of a proxy that has one."""
UNREAD = 4 << 20
"""Bytes of messages from a client that reads no answers: more than the kernel keeps of these."""


# --- servers


def control_id(message: bytes) -> bytes:
    """Return MSH-10 of a message."""
    return message.split(b"|", 10)[9]


def server(unanswered: int = sys.maxsize) -> NoReturn:
    """Acknowledge each message on any number of connections, except each of these."""
    listener = listening()
    listener.setblocking(False)
    waiting = listener.fileno()
    epoll = select.epoll()
    epoll.register(waiting, select.EPOLLIN)
    begun: dict[int, bytes] = {}
    count = 0
    while True:
        for fd, _ in epoll.poll():
            if fd == waiting:
                with suppress(BlockingIOError):
                    accepted, _ = listener.accept()
                    accepted.setblocking(False)
                    begun[accepted.fileno()] = b""
                    epoll.register(accepted.detach(), select.EPOLLIN)
                continue
            data = b""
            with suppress(ConnectionError):
                data = os.read(fd, CHUNK)
                *messages, begun[fd] = (begun[fd] + data).split(b"\x1c\r")
                for each in messages:
                    count += 1
                    if count % unanswered:
                        name = control_id(each)
                        os.write(fd, ACK % (name, name))
            if not data:
                os.close(fd)
                if begun.pop(fd):
                    sys.exit("a part of a message has arrived")


def silent() -> NoReturn:
    """Leave each tenth message unanswered."""
    server(unanswered=10)


# --- clients


def check(name: bytes, answer: bytes) -> None:
    """End the load if an answer is not that of this message."""
    if not answer.startswith(b"\x0bMSH") or not (
        b"\rMSA|AA|%b\r" % name in answer or b"\rMSA|AE|%b|" % name in answer
    ):
        sys.exit(f"{name.decode()} was answered {answer.decode(errors='replace')!r}")


def clients(port: int, number: int, seconds: float) -> None:
    """Send and wait, on every connection. Reports messages and their latency."""
    fds = [connect(port) for _ in range(number)]
    epoll = select.epoll()
    for fd in fds:
        epoll.register(fd, select.EPOLLIN)
    serial = 0
    sent: dict[int, tuple[bytes, float]] = {}

    def send(fd: int) -> None:
        nonlocal serial
        serial += 1
        name = b"%08d" % serial
        sent[fd] = name, perf_counter()
        os.write(fd, MESSAGE % name)

    def exchange(seconds: float) -> tuple[float, list[float]]:
        latencies: list[float] = []
        begin = perf_counter()
        end = begin + seconds
        for fd in fds:
            send(fd)
        while sent:
            for fd, _ in epoll.poll():
                answer = os.read(fd, CHUNK)  # an acknowledgement fits into one segment
                now = perf_counter()
                name, at = sent.pop(fd)
                check(name, answer)
                latencies.append(now - at)
                if now < end:
                    send(fd)
        return perf_counter() - begin, latencies

    exchange(WARM_S)
    ready()
    spent, latencies = exchange(seconds)
    report(len(latencies), spent, latencies)


def steady(
    port: int, number: int, messages: float, beside: Callable[[int, int], None] | None = None
) -> None:
    """Send and wait on every connection; open another one after a message without an answer.
    `beside` is what the other clients do. Reports the percentage without an answer."""
    ready()
    begin = perf_counter()
    lost = serial = 0
    if beside is not None:
        beside(port, number)
    streams = [socket.create_connection((LOOPBACK, port)) for _ in range(number)]
    for _ in range(int(messages)):
        sent: dict[int, bytes] = {}
        for stream in streams:
            serial += 1
            sent[stream.fileno()] = b"%08d" % serial
            stream.sendall(MESSAGE % sent[stream.fileno()])
        end = perf_counter() + WAIT_S
        with select.epoll() as epoll:
            for fd in sent:
                epoll.register(fd, select.EPOLLIN)
            while sent and (ready_now := epoll.poll(max(0.0, end - perf_counter()))):
                for fd, _ in ready_now:
                    answer = b""
                    with suppress(ConnectionError):
                        answer = os.read(fd, CHUNK)
                    epoll.unregister(fd)
                    if answer:
                        check(sent.pop(fd), answer)
        lost += len(sent)
        for at, stream in enumerate(streams):
            if stream.fileno() in sent:
                stream.close()
                streams[at] = socket.create_connection((LOOPBACK, port))
    report(lost * 100 / serial, perf_counter() - begin)


def die(port: int, number: int) -> None:
    """Send half a message, `number` times, each time on another connection, which is then reset."""
    for _ in range(number):
        stream = socket.create_connection((LOOPBACK, port))
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        stream.sendall(MESSAGE[: len(MESSAGE) // 2])
        stream.close()


def stall(port: int, number: int) -> None:
    """Send messages on `number` connections, as long as they are taken, and read no answer."""
    for each in range(number):
        stream = socket.create_connection((LOOPBACK, port))
        stream.settimeout(0.5)
        unread.append(stream)
        with suppress(OSError):
            for serial in range(UNREAD // len(MESSAGE)):
                stream.sendall(MESSAGE % b"%d-%d" % (each, serial))


unread: list[socket.socket] = []
"""The connections on which no answer is read."""


def main(role: str, *numbers: str) -> None:
    """Play a role. Raises OSError."""
    if role in ("server", "silent"):
        server() if role == "server" else silent()
    port, number, amount = int(numbers[0]), int(numbers[1]), float(numbers[2])
    if role == "clients":
        clients(port, number, amount)
    else:
        steady(port, number, amount, {"steady": None, "dying": die, "stalled": stall}[role])


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except OSError as error:
        sys.exit(f"{sys.argv[1]}: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
