"""The bus's round trip, measured: a service that answers one client over a Unix stream socket.

    python -m tests.bench.bus_echo serve lines|messages PROCESSOR PATH
    python -m tests.bench.bus_echo ask PROCESSOR PATH TRIPS

`lines` sends each line back as it is: the least that a connection of this project can do with it.
`messages` calls the function for a message, which replies. The client is the same: a plain socket.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from random import Random

from vcproxy.bus.connections.line_connection import LineConnection
from vcproxy.bus.connections.message_listener import MessageListener
from vcproxy.bus.dispatch.dispatcher import Dispatcher
from vcproxy.bus.dispatch.received_message import ReceivedMessage
from vcproxy.drivers.epoll.driver import EpollDriver
from vcproxy.engine.address import Address
from vcproxy.engine.engine import Engine
from vcproxy.engine.listener import Listener
from vcproxy.engine.net import NetVConnection

REQUEST = b"MEASURE name=temperature;unit=celsius;value=23.75\n"
REPLY = b"MEASURED value=23.75\n"
WARM = 2_000
PATIENCE_S = 20.0


class Echo(LineConnection):
    """Sends each line back."""

    def received_line(self, line: bytes) -> None:
        self.send_line(line)


def measure(received: ReceivedMessage) -> None:
    """Reply to MEASURE."""
    received.reply("MEASURED", value=received.message.text("value"))


def accept(vc: NetVConnection) -> None:
    """Take a client."""
    Echo(None, vc)


def serve(kind: str, path: str) -> None:
    """Serve until the process is killed."""
    engine = Engine("service", memory=64 << 20, random=Random(1), log=log)
    driver = EpollDriver(engine)
    listener = Listener("bus", accept, engine)
    if kind == "messages":
        dispatcher = Dispatcher("bench", log=log)
        dispatcher.add("MEASURE", measure)
        listener = MessageListener(engine, "bus", dispatcher)
    driver.listen(Address.parse(f"unix:{path}"), listener)
    print("ready", flush=True)
    driver.run()


def ask(path: str, trips: int) -> None:
    """Make the round trips, one after the other, when a line has been printed and read."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(PATIENCE_S)
        sock.connect(path)
        _trips(sock, WARM)
        print("warm", flush=True)
        sys.stdin.readline()
        begin = time.perf_counter()
        _trips(sock, trips)
        seconds = time.perf_counter() - begin
        print(json.dumps({"done": trips, "seconds": seconds}), flush=True)
        sys.stdin.readline()


def _trips(sock: socket.socket, count: int) -> None:
    send, receive = sock.sendall, sock.recv
    for _ in range(count):
        send(REQUEST)
        answer = receive(1000)
        if answer not in (REQUEST, REPLY):
            sys.exit(f"a wrong answer: {answer!r}")


def log(level: str, text: str, error: Exception | None = None) -> None:
    """Print warnings and errors: a measurement has none."""
    if level in ("warning", "error"):
        print(text, error, file=sys.stderr, flush=True)


def main() -> None:
    """Run one side."""
    what, *arguments = sys.argv[1:]
    if what == "serve":
        kind, processor, path = arguments
        os.sched_setaffinity(0, {int(processor)})
        serve(kind, path)
    else:
        processor, path, trips = arguments
        os.sched_setaffinity(0, {int(processor)})
        ask(path, int(trips))


if __name__ == "__main__":
    main()
