"""The load of NMEA sentences: a receiver at a serial line, and consumers on TCP.

    python -m tests.bench.nmea_load device    LINE SENTENCES_A_S SENTENCES MODE
    python -m tests.bench.nmea_load consumers PORT NUMBER SENTENCES MODE

The line is a pseudoterminal, whose name is LINE of `line_name`. Both print `ready`, and begin when
a line comes on standard input; until then the device sends a fix ten times a second, as receivers
do: gpsd recognizes it by that. Numbered sentences have the time of their writing.

Modes of the device: `steady`; `damaged`: each tenth sentence has a wrong checksum or lost its end;
`gone`: after half of the sentences the device disappears, for a second. Modes of the consumers:
`steady`; `stalled`: the first one reads nothing; `gone`: those that are closed connect again.

Figures of the consumers: `done`, sentences that arrived; `lost`, those that did not arrive at
consumers that read; `bad`, lines that are no sentences; `gap_s`, the longest time without any.
"""

import contextlib
import os
import pty
import select
import socket
import sys
import tempfile
import tty
from collections.abc import Iterator
from functools import reduce
from operator import xor
from pathlib import Path
from time import perf_counter, perf_counter_ns, sleep

from .load import LOOPBACK, QUIET_S, print_figures, ready

WATCH = b'?WATCH={"enable":true,"nmea":true};\r\n'  # for gpsd; other programs ignore it
GONE_S = 1.0
PATIENT_S = 20.0  # for a device that was away; programs look for it every few seconds


def line_name(number: int) -> Path:
    """Return the path of the device of a line."""
    return Path(tempfile.gettempdir(), f"vcproxy-bench-line-{number}")


def sentence(content: str) -> bytes:
    """Return a sentence with its checksum and line end."""
    return b"$%b*%02X\r\n" % (content.encode(), reduce(xor, content.encode(), 0))


FIX = sentence("GPRMC,123519,A,4807.038,N,01131.000,E,022.4,084.4,230326,003.1,W,A") + sentence(
    "GPGGA,123519,4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,"
)


@contextlib.contextmanager
def line(name: Path) -> Iterator[int]:
    """Make a pseudoterminal under a name; give the end of the device."""
    device, slave = pty.openpty()
    tty.setraw(slave)
    name.symlink_to(os.ttyname(slave))
    try:
        yield device
    finally:
        name.unlink()
        os.close(device)
        os.close(slave)


def numbered(number: int, damaged: bool) -> bytes:
    """Return a sentence with a number and the time. The first 20 bytes are always those here."""
    whole = sentence(f"GPTXT,01,01,02,{number:08},{perf_counter_ns():020},of the receiver")
    if not damaged or number % 10:
        return whole
    return whole[:30] if number % 20 else whole.replace(b"receiver", b"Receiver")


def send(device: int, pace: int, numbers: range, *, damaged: bool) -> None:
    due = perf_counter()
    for number in numbers:
        sleep(max(0.0, due - perf_counter()))
        os.write(device, numbered(number, damaged))
        due += 1 / pace


def device(number: int, pace: int, count: int, mode: str) -> None:
    """Send sentences to a line."""
    name = line_name(number)
    middle = count // 2 if mode == "gone" else count
    with line(name) as end:
        print("ready", flush=True)
        while not select.select([sys.stdin], [], [], 0.1)[0]:
            os.write(end, FIX)
            while select.select([end], [], [], 0)[0]:
                os.read(end, 4096)  # gpsd asks receivers what they are
        sys.stdin.readline()
        send(end, pace, range(middle), damaged=mode == "damaged")
        if mode != "gone":
            sys.stdin.read()
            return
    sleep(GONE_S)
    with line(name) as end:
        end_at = perf_counter() + PATIENT_S
        for at in range(middle, sys.maxsize):
            send(end, pace, range(at, at + 1), damaged=False)
            if perf_counter() > end_at:
                break
            sleep(1 / pace)


class Consumer:
    """A client that counts sentences."""

    def __init__(self, port: int, asleep: bool) -> None:
        self._port = port
        self.got = self.bad = 0
        self._begun = b""
        self.stream = self._connect(asleep)

    def _connect(self, asleep: bool) -> socket.socket:
        stream = socket.socket()
        if asleep:
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stream.connect((LOOPBACK, self._port))
        stream.sendall(WATCH)
        return stream

    def again(self) -> None:
        """Connect again."""
        self.stream.close()
        self._begun = b""
        while True:
            try:
                self.stream = self._connect(False)
                return
            except OSError:
                sleep(0.05)

    def take(self, latencies: list[float]) -> bool:
        """Receive what is there. False: the connection was closed."""
        try:
            data = self.stream.recv(65536)
        except ConnectionResetError:
            data = b""
        now = perf_counter_ns()
        *lines, self._begun = (self._begun + data).split(b"\n")
        for each in lines:
            text = each.removesuffix(b"\r")
            if text.startswith(b"{") or text + b"\r\n" in FIX:
                continue
            content, _, checksum = text[1:].rpartition(b"*")
            if checksum != b"%02X" % reduce(xor, content, 0):
                self.bad += 1
            elif content.startswith(b"GPTXT,01,01,02,"):
                self.got += 1
                latencies.append((now - int(content.split(b",")[5])) / 1e9)
        return bool(data)


def consumers(port: int, number: int, count: int, mode: str) -> None:
    """Receive `count` sentences at every consumer that reads."""
    every = [Consumer(port, mode == "stalled" and not n) for n in range(number)]
    awake = every[mode == "stalled" :]
    latencies: list[float] = []
    ready()
    patience_s = PATIENT_S if mode == "gone" else QUIET_S
    begin = last = perf_counter()
    gap_s = 0.0
    while any(each.got < count for each in awake):
        streams = {each.stream: each for each in awake}
        found = select.select(list(streams), [], [], patience_s)[0]
        before = len(latencies)
        for stream in found:
            if not streams[stream].take(latencies):
                if mode != "gone":
                    sys.exit("a consumer was closed")
                streams[stream].again()
        if len(latencies) > before:
            gap_s = max(gap_s, perf_counter() - last)
            last = perf_counter()
        elif perf_counter() - last > patience_s:
            break
    done, bad = sum(each.got for each in awake), sum(each.bad for each in awake)
    lost = len(awake) * count - done
    seconds = last - begin
    print_figures(done, seconds, latencies or [0.0], lost=lost, bad=bad, gap_s=gap_s)
    sys.stdin.read()


if __name__ == "__main__":
    role, *numbers, mode = sys.argv[1:]
    first, second, third = map(int, numbers)
    try:
        (device if role == "device" else consumers)(first, second, third, mode)
    except OSError as error:
        sys.exit(f"{role}: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
