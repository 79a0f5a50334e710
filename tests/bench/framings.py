"""Framings: what a message costs the plugin validate, beside one of `lines` with as many bytes.

The load: `python -m tests.bench.framings FRAME PORT CONNECTIONS SECONDS` (FRAME in hexadecimal).
"""

from __future__ import annotations

import json
import select
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

from vcproxy.framing.checks import CHECKS

from .measure import cpu_s, settle
from .peer import LOOPBACK, Peer, running
from .workloads import Sample, Workload, answer, load, order

LOAD = "tests.bench.framings"
CONNECTIONS = 8
BATCH = 16
"""Messages that a client sends at once, before it waits for their echo: so the framing has a larger
part in the cost than it has in round trips of one message."""
SIZE = 200

CONFIG = """\
[proxy]
net_threads = 1

[[listener]]
name = "bench"
bind = "tcp://127.0.0.1:$listen"
plugin = "validate"
upstream = "echo"
options = {{ framing = "{name}"{options} }}

[upstream.echo]
servers = ["tcp://127.0.0.1:$server"]
"""


def fix_message(size: int) -> bytes:
    body = b"35=0\x01112=%s\x01" % (b"T" * (size - 33))
    message = b"8=FIX.4.4\x019=%d\x01" % len(body) + body
    return message + b"10=%b\x01" % CHECKS["fix-sum"].of(message)


def sentence(size: int) -> bytes:
    body = b"GPTXT,01,01,02," + b"A" * (size - 21)
    return b"$%b*%b\r\n" % (body, CHECKS["xor-hex"].of(body))


def hdlc_frame(size: int) -> bytes:
    content = b"x" * (size - 4)
    return b"~" + content + CHECKS["crc16-x25"].of(content) + b"~"


FRAMES: dict[str, tuple[str, Callable[[int], bytes]]] = {
    "lines": ("", lambda size: b"x" * (size - 1) + b"\n"),
    "delimiter": (', delimiter = "\\r\\n"', lambda size: b"x" * (size - 2) + b"\r\n"),
    "length-prefix": (
        ", width = 4",
        lambda size: (size - 4).to_bytes(4, "big") + b"x" * (size - 4),
    ),
    "netstring": ("", lambda size: b"%d:%b," % (size - 5, b"x" * (size - 5))),
    "length-at": (
        ", offset = 4, width = 2",
        lambda size: b"abcd" + (size - 6).to_bytes(2, "big") + b"x" * (size - 6),
    ),
    "between": (", start = [2], end = [3]", lambda size: b"\2" + b"x" * (size - 2) + b"\3"),
    "mllp": ("", lambda size: b"\x0b" + b"x" * (size - 3) + b"\x1c\r"),
    "slip": ("", lambda size: b"\xc0" + b"x" * (size - 2) + b"\xc0"),
    "hdlc": ("", hdlc_frame),
    "cobs": ("", lambda size: bytes((size - 1,)) + b"x" * (size - 2) + b"\0"),
    "beast": ("", lambda _: b"\x1a3" + b"x" * 21),
    "mqtt": (
        "",
        lambda size: bytes((0x30, 0x80 | (size - 3) & 0x7F, (size - 3) >> 7)) + b"x" * (size - 3),
    ),
    "header-fields": (
        "",
        lambda size: b"Content-Length: %d\r\n\r\n" % (size - 23) + b"x" * (size - 23),
    ),
    "stomp": ("", lambda size: b"SEND\ndestination:/a\n\n" + b"x" * (size - 22) + b"\0"),
    "rfc6587": ("", lambda size: b"%d <34>1 " % (size - 4) + b"x" * (size - 10)),
    "resp": (
        "",
        lambda size: (
            b"*3\r\n$3\r\nSET\r\n$4\r\nname\r\n$%d\r\n%b\r\n" % (size - 31, b"x" * (size - 31))
        ),
    ),
    "mbap": (
        "",
        lambda size: b"\0\1\0\0" + (size - 6).to_bytes(2, "big") + b"\1\x10" + b"x" * (size - 8),
    ),
    "tpkt": ("", lambda size: b"\3\0" + size.to_bytes(2, "big") + b"x" * (size - 4)),
    "iec104": ("", lambda size: bytes((0x68, size - 2)) + b"x" * (size - 2)),
    "dns-tcp": ("", lambda size: (size - 2).to_bytes(2, "big") + b"x" * (size - 2)),
    "fix": ("", fix_message),
    "nmea": ("", sentence),
    "mpegts": ("", lambda _: b"G" + b"x" * 187),
}
"""The options and a frame of each framing. Those of which a stream cannot repeat one frame are left
out."""


@dataclass(frozen=True, slots=True)
class Framed:
    """Batches of messages through validate, which are echoed. The cost is the CPU time of one."""

    kind: str
    seconds: float
    cost_unit: str = "us"
    rate_unit: str = "/s"

    @property
    def name(self) -> str:
        return f"framing-{self.kind}"

    @property
    def title(self) -> str:
        return f"messages framed as {self.kind}"

    def suits(self, peer: Peer) -> bool:
        return self.name in peer.only

    def measure(self, peer: Peer) -> Sample:
        """Measure once. Raises Failed."""
        size = len(FRAMES[self.kind][1](SIZE))
        framing = peer.name.removeprefix("framed-")
        frame = FRAMES[framing][1](size if framing == "lines" else SIZE)
        assert len(frame) == size, (framing, size, len(frame))
        with (
            load("echo") as server,
            running(peer, int(answer(server))) as (pid, port),
            load(frame.hex(), port, CONNECTIONS, self.seconds, module=LOAD) as client,
        ):
            answer(client)
            settle(pid)
            before = cpu_s(pid)
            order(client)
            figures = json.loads(answer(client))
            settle(pid)
            cost = (cpu_s(pid) - before) * 1e6 / figures["done"]
        return Sample(cost, figures["done"] / figures["seconds"])


def workloads(seconds: float) -> dict[str, Workload]:
    """Every workload of framings by name, in the sizes given."""
    every = [Framed(kind, seconds) for kind in FRAMES if kind != "lines"]
    return {workload.name: workload for workload in every}


def framed(kind: str) -> Peer:
    rows = [f"framing-{each}" for each in FRAMES] if kind == "lines" else [f"framing-{kind}"]
    return Peer(
        f"framed-{kind}",
        (sys.executable, "-m", "$cli", "-c", "$config"),
        CONFIG.format(name=kind, options=FRAMES[kind][0]),
        version=(sys.executable, "-m", "$cli", "--version"),
        only=tuple(rows),
    )


FRAMING_PEERS = {f"framed-{kind}": framed(kind) for kind in FRAMES}


def main(frame: bytes, port: int, connections: int, seconds: float) -> None:
    """Send batches on each connection, the next one when the echo of the last is complete."""
    batch = frame * BATCH
    poller = select.epoll()
    streams, missing = {}, {}
    for _ in range(connections):
        stream = socket.create_connection((LOOPBACK, port))
        poller.register(stream, select.EPOLLIN)
        streams[stream.fileno()], missing[stream.fileno()] = stream, 0

    def send_for(limit: float) -> tuple[int, float]:
        done, begun = 0, perf_counter()
        for fd, stream in streams.items():
            stream.sendall(batch)
            missing[fd] = len(batch)
        open_batches = len(streams)
        while open_batches:
            for fd, _ in poller.poll():
                received = streams[fd].recv(1 << 18)
                if not received:
                    raise ConnectionError("the proxy has closed a connection")
                missing[fd] -= len(received)
                if missing[fd] == 0:
                    done += BATCH
                    if perf_counter() - begun < limit:
                        missing[fd] = len(batch)
                        streams[fd].sendall(batch)
                    else:
                        open_batches -= 1
        return done, perf_counter() - begun

    send_for(0.2)  # every code path has run some thousand times by then
    print("ready", flush=True)
    sys.stdin.readline()
    done, spent = send_for(seconds)
    print(json.dumps({"done": done, "seconds": spent}), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main(bytes.fromhex(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
