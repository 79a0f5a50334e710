"""A tree of relays on NATS, measured: `python -m tests.bench.tree`.

    producer -> relay A -> stream of a NATS server -> relays B and C -> SINKS subscribers each

Each line contains the time at which it was written: sinks compute its age, and a sink of relay A
records which lines were published. A second run kills the NATS server and restarts it two seconds
later. Requires nats-server and nats-py.
"""

import json
import select
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.drivers.nats_server import Peer, Server
from vcproxy.testing.running import Running

from .load import CHUNK, LINE, LOOPBACK, STAMP
from .measure import cpu_s

SINKS = 50
"""Subscribers of B, and of C."""
TIMED = 2
"""Subscribers of each relay whose lines are parsed one by one."""
PACES = 1000, 4000
"""Lines of 200 bytes a second."""
LASTS_S = 10.0
OUTAGE_S = 2.0
QUIET_S = 3.0  # after this time without data a sink has received everything

A = """
[[listener]]
name = "a"
bind = "tcp://127.0.0.1:0"
plugin = "relay"

[listener.options]
subscribers = "tcp://127.0.0.1:0"
targets = "{uri}?stream=TICKER"
framing = "lines"
max_lag = "8MiB"
{more}
"""

B = """
[[listener]]
name = "{name}"
plugin = "relay"

[listener.options]
source = "{uri}?stream=TICKER&durable={name}"
subscribers = "tcp://127.0.0.1:0"
max_lag = "8MiB"
"""


class Received(NamedTuple):
    """What one sink has received: when each line was written and arrived, in nanoseconds."""

    written: list[int]
    came: list[int]


# --- the run


@contextmanager
def tree(more: str = "") -> Iterator[tuple[Server, dict[str, Running]]]:
    """Run a NATS server with a stream, and the three relays; `more`: further options of relay A."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = Server(folder / "streams")
        stack.callback(server.kill)
        server.start()
        maker = Peer(server)
        maker.add_stream("TICKER", "ticker")
        maker.close()
        uri = server.uri("ticker")
        texts = {"a": A.format(uri=uri, more=more)}
        texts |= {name: B.format(uri=uri, name=name) for name in ("b", "c")}
        relays = {}
        for name, text in texts.items():
            (folder / f"{name}.toml").write_text(text)
            relays[name] = Running(folder / f"{name}.toml")
            stack.callback(relays[name].kill)
        relays["a"].wait_for("sink connected")
        for name in "b", "c":
            relays[name].wait_for("producer connected")
        yield server, relays


def run(pace: int, more: str = "", outage: bool = False) -> None:
    """Produce lines for a while; report how many arrived, how late, and the CPU time."""
    with tree(more) as (server, relays):
        pids = {"nats-server": server.pid} | {name: relay.pid for name, relay in relays.items()}
        ports = {name: relay.port(f"{name}.subscribers") for name, relay in relays.items()}
        sinks = f"{ports['a']},1", f"{ports['b']},{SINKS}", f"{ports['c']},{SINKS}"
        listener = play("listen", *sinks, module=__spec__.name)
        producer = play("tick", relays["a"].port("a"), pace, pace * LASTS_S * len(LINE))
        before = {name: cpu_s(pid) for name, pid in pids.items()}
        begin(producer)
        if outage:
            time.sleep(LASTS_S / 3)
            server.kill()
            time.sleep(OUTAGE_S)
            server.start()
        received = [Received(*each) for each in json.loads(listener.communicate()[0])]
        spent = {name: cpu_s(pid) - before[name] for name, pid in pids.items() if not outage}
        producer.communicate()
        report(received, spent)


def report(received: Sequence[Received], spent: Mapping[str, float]) -> None:
    """Print the figures of a run."""
    (direct, *others) = received
    sent = set(direct.written)
    ages = sorted(
        (came - written) / 1e6
        for sink in others
        for written, came in zip(sink.written, sink.came, strict=True)
    )
    print(f"  {len(sent)} lines, p50 {middle(ages, 0.5)}, p99 {middle(ages, 0.99)} from end to end")
    for sink in others:
        missing = len(sent - set(sink.written))
        again = len(sink.written) - len(set(sink.written))
        silence = max(b - a for a, b in zip(sink.came, sink.came[1:], strict=False)) / 1e9
        print(f"  a sink: {missing} missing, {again} again, longest silence {silence:.2f} s")
    for name, seconds in spent.items():
        print(f"  {name}: {100 * seconds / LASTS_S:.0f} % of a core")


def middle(ordered: Sequence[float], part: float) -> str:
    return f"{ordered[int(len(ordered) * part)]:.2f} ms"


def play(role: str, *words: object, module: str = "tests.bench.load") -> "subprocess.Popen[str]":
    """Start a process of the load, and wait until it is ready."""
    command = [sys.executable, "-m", module, role, *map(str, words)]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def begin(process: "subprocess.Popen[str]") -> None:
    assert process.stdin is not None
    process.stdin.write("0\n")


# --- the sinks


def listen(*places: str) -> None:
    """Subscribe NUMBER times at PORT; when no more data comes, print what TIMED of them
    received."""
    received: dict[int, Received] = {}
    streams: dict[int, socket.socket] = {}
    for place in places:
        port, number = map(int, place.split(","))
        for index in range(number):
            stream = socket.create_connection((LOOPBACK, port))
            streams[stream.fileno()] = stream
            if index < TIMED:
                received[stream.fileno()] = Received([], [])
    begun = dict.fromkeys(received, b"")
    print("ready", flush=True)
    with select.epoll() as epoll:
        for fd in streams:
            epoll.register(fd, select.EPOLLIN)
        while ready := epoll.poll(QUIET_S if any(h.came for h in received.values()) else None):
            for fd, _ in ready:
                data = streams[fd].recv(CHUNK)
                if fd in received:
                    begun[fd] = note(received[fd], begun[fd] + data)
    print(json.dumps(list(received.values())))


def note(received: Received, data: bytes) -> bytes:
    """Record the complete lines of the data; return the incomplete one at its end."""
    now = time.perf_counter_ns()
    whole = len(data) // len(LINE) * len(LINE)
    for at in range(0, whole, len(LINE)):
        received.written.append(int(data[at:][STAMP]))
        received.came.append(now)
    return data[whole:]


def main() -> None:
    for pace in PACES:
        print(f"{pace} lines a second:")
        run(pace)
    for more in "", 'history = "2MiB"':
        print(f"{PACES[0]} lines a second, the server is killed; at A {more or 'no history'}:")
        run(PACES[0], more, outage=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["listen"]:
        listen(*sys.argv[2:])
    else:
        main()
