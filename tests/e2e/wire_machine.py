"""A machine in plain Python, with sockets only: as a program that is not of this project would be.

It answers `who` with its version and pid, and everything else with the same text. Run it with the
arguments that a machine server passes. Its version is the text after `VERSION =`.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time

VERSION = "1"
ATTEMPTS, LAST_ATTEMPTS, WAIT_S = 300, 10, 0.05
"""A busy host may take seconds to answer; a parent that has ended never does."""


class WireMachine:
    """The wire of Wink's newest generation: numbers, acknowledgements, repetition."""

    def __init__(self) -> None:
        _, self.name, address, parent, *self.arguments = sys.argv
        self.parent = _peer(parent)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(_peer(address))
        self.server = self.socket.getsockname()[0], 42_000
        self.numbers: dict[tuple[str, int], int] = {}
        self.seen: dict[tuple[str, int], int] = {}
        self.acknowledged: set[tuple[tuple[str, int], bytes]] = set()
        self.ending = False

    def run(self) -> None:
        """Live until SIGTERM or `exit`."""
        signal.signal(signal.SIGTERM, self._terminated)
        print(f"{self.name} started", flush=True)
        self.send(self.parent, f"started {self.name}")
        self.send(self.server, f"register {self.name} {os.getpid()}")
        self.socket.settimeout(WAIT_S)
        while not self.ending:
            self.receive()
        print(f"{self.name} exited", flush=True)
        self.send(self.parent, f"exited {self.name}", LAST_ATTEMPTS)
        self.send(self.server, "unregister")

    def _terminated(self, *_: object) -> None:
        self.ending = True

    def send(self, to: tuple[str, int], text: str, attempts: int = ATTEMPTS) -> None:
        """Send a message until it is acknowledged, but not for ever."""
        number = self.numbers.get(to, 0)
        self.numbers[to] = number + 1
        head = number.to_bytes(8, "little")
        self.socket.settimeout(WAIT_S)
        for _ in range(attempts):
            self.socket.sendto(head + text.encode(), to)
            until = time.monotonic() + WAIT_S
            while time.monotonic() < until:
                if (to, head) in self.acknowledged:
                    return
                self.receive()

    def receive(self) -> None:
        """Receive and answer a datagram."""
        try:
            datagram, sender = self.socket.recvfrom(65_536)
        except TimeoutError:
            return
        head, text = datagram[:8], datagram[8:]
        if text == b"ack":
            self.acknowledged.add((sender, head))
        else:
            self.socket.sendto(head + b"ack", sender)
            number = int.from_bytes(head, "little")
            if number > self.seen.get(sender, -1):
                self.seen[sender] = number
                self.answer(sender, text.decode())

    def answer(self, sender: tuple[str, int], text: str) -> None:
        """Answer a message."""
        if text == "exit":
            self.ending = True
        else:
            self.send(sender, f"{VERSION} {os.getpid()}" if text == "who" else text)


def _peer(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host, int(port)


if __name__ == "__main__":
    WireMachine().run()
