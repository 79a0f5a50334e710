"""An echo and its client, which exchange acknowledged datagrams: machines, or plain loops.

    python -m tests.bench.echo machine|plain echo PROCESSOR
    python -m tests.bench.echo machine|plain client PROCESSOR PORT TRIPS

The plain loops are what the protocol requires at least: numbers, and an acknowledgement of each
message, on a blocking socket; nothing is repeated. An echo writes its port; a client writes
`started`, then `begun` when WARM round trips are done, then its figures when TRIPS more are. Each
stays on one processor, or the figures would depend on where the kernel puts them.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from struct import Struct
from typing import ClassVar

from vcproxy.api import Letter, Process, State

LOOPBACK = "127.0.0.1"
TEXT = "echo " + "x" * 51
"""With the number 64 bytes: the size of the other round trips."""
WARM = 2_000


class Trips:
    """Counts round trips and writes the lines."""

    def __init__(self, trips: int) -> None:
        self.trips = trips
        self.done = 0
        self.begin = 0.0

    def finished(self) -> bool:
        """Count one; return whether it was the last."""
        self.done += 1
        if self.done == WARM:
            self.begin = time.perf_counter()
            print("begun", flush=True)
        if self.done < WARM + self.trips:
            return False
        seconds = time.perf_counter() - self.begin
        print(json.dumps({"done": self.trips, "seconds": seconds}), flush=True)
        return True


# -- machines


class Echo(Process):
    """Returns each message to its sender."""

    RUNNING = State(initial=True)

    @RUNNING.enter
    def begin(self) -> None:
        """Write the port."""
        print(self.address[1], flush=True)

    @RUNNING.on("echo")
    def returned(self, letter: Letter) -> None:
        """Send it back."""
        self.send(letter.sender, letter.text)


class Client(Process):
    """Sends a message, waits until it is returned, sends the next."""

    RUNNING = State(initial=True)

    trips: ClassVar[Trips]

    @RUNNING.enter
    def begin(self) -> None:
        """Send the first message to the port in the arguments."""
        print("started", flush=True)
        self.send(f":{self.arguments[0]}", TEXT)

    @RUNNING.on("echo")
    def came_back(self, letter: Letter) -> None:
        """Send the next one. After the last the process stays, until it is ended."""
        if not self.trips.finished():
            self.send(letter.sender, TEXT)


# -- plain loops

NUMBER = Struct("<Q")


def plain_socket() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((LOOPBACK, 0))
    return sock


def plain_echo() -> None:
    with plain_socket() as sock:
        print(sock.getsockname()[1], flush=True)
        number = 0
        while True:
            datagram, sender = sock.recvfrom(65_535)
            text = datagram[8:]
            if text != b"ack":
                sock.sendto(datagram[:8] + b"ack", sender)
                sock.sendto(NUMBER.pack(number) + text, sender)
                number += 1


def plain_client(port: int, trips: Trips) -> None:
    with plain_socket() as sock:
        print("started", flush=True)
        number = 0
        returned = True
        while not (returned and trips.finished()):
            sock.sendto(NUMBER.pack(number) + TEXT.encode(), (LOOPBACK, port))
            number += 1
            acknowledged = returned = False
            while not (acknowledged and returned):
                datagram, sender = sock.recvfrom(65_535)
                if datagram[8:] == b"ack":
                    acknowledged = True
                else:
                    sock.sendto(datagram[:8] + b"ack", sender)
                    returned = True
        time.sleep(60)  # until it is ended, as the machine


def main(kind: str, role: str, processor: str, port: str = "0", trips: str = "0") -> None:
    os.sched_setaffinity(0, {int(processor)})
    counted = Trips(int(trips))
    if kind == "machine":
        sys.argv = [sys.argv[0], f"bench/{role}", ":0", ":0", port]
        Client.trips = counted
        (Echo if role == "echo" else Client).main()
    elif role == "echo":
        plain_echo()
    else:
        plain_client(int(port), counted)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except KeyboardInterrupt:
        sys.exit(130)
