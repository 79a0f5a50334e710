"""The picture of docs/how-to/relay.md, and its log: `python -m tests.docs.relay_picture`.

A relay with eight subscribers, one of which reads nothing for a while, is run once for each of two
policies. The proxy runs as usual; a thread reads its status 20 times a second.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path

from vcproxy.app.server import Proxy
from vcproxy.config.loader import load

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "relay.md"
PICTURE = PAGE.with_suffix(".png")
LOG = re.compile(r"(<!-- python -m tests.docs.relay_picture -->\n\n```text\n)[^`]*")
POLICIES = "drop_oldest", "disconnect"
HERE, SLOW = "127.0.0.1", "127.0.0.2"  # the slow subscriber has an address of its own

MIB = 1 << 20
RATE = 16 * MIB  # bytes a second: visible in the picture, and far below the maximum of two cores
WRITE = (b"x" * 4095 + b"\n") * 16
MAX_LAG = 4 * MIB
STALLS_S = 3.0, 6.0
LASTS_S = 9.0
STARTING_S = 5.0  # until all are connected, on a busy machine
SAMPLE_S = 0.05

CONFIGURATION = """
[proxy]
log = "relay.log"

[[listener]]
name = "ticker"
bind = "tcp://127.0.0.1:{bind}"
plugin = "relay"

[listener.options]
subscribers = "tcp://127.0.0.1:{subscribers}"
framing = "lines"
max_lag = "4MiB"
on_lag = "{policy}"
"""


@dataclass(frozen=True)
class Sample:
    """The counts of one sink at a time, in seconds since the beginning."""

    at: float
    sink: str
    sent: int
    lag: int
    dropped: int


# --- one run


def run(policy: str) -> tuple[list[Sample], list[tuple[float, str]]]:
    """Run the relay once; return the samples, and the log's lines with their times."""
    bind, subscribers = free_port(), free_port()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "relay.toml"
        file.write_text(CONFIGURATION.format(bind=bind, subscribers=subscribers, policy=policy))
        proxy = Proxy(load(file))
        begun = time.time() + STARTING_S
        clients = [
            subprocess.Popen([sys.executable, "-m", __spec__.name, role, str(port), str(begun)])
            for role, port in (("subscribe", subscribers), ("produce", bind))
        ]
        samples: list[Sample] = []
        threading.Thread(target=watch, args=(proxy, begun, samples)).start()
        proxy.run()
        for client in clients:
            client.wait()
        return samples, list(timed_lines((Path(folder) / "relay.log").read_text(), begun))


def free_port() -> int:
    """Return a port that is not in use."""
    with socket.create_server((HERE, 0)) as server:
        port: int = server.getsockname()[1]
        return port


def watch(proxy: Proxy, begun: float, samples: list[Sample]) -> None:
    """Sample the status until the end of the run, then end the proxy by SIGTERM."""
    while (at := time.time() - begun) < LASTS_S:
        status = proxy.status()["ticker"]
        samples.extend(
            Sample(at, sink.name, sink.sent, sink.lag, sink.dropped.messages)
            for sink in status.sinks  # type: ignore[attr-defined]
        )
        time.sleep(SAMPLE_S)
    os.kill(os.getpid(), signal.SIGTERM)


def timed_lines(log: str, begun: float) -> Iterator[tuple[float, str]]:
    """Yield the log's lines, each with its time in seconds since `begun`."""
    for line in log.splitlines():
        stamp = datetime.strptime(line[:23], "%Y-%m-%d %H:%M:%S,%f")
        yield stamp.timestamp() - begun, line


def produce(port: int, begun: float) -> None:
    """Write at RATE until the relay closes the connection."""
    with socket.create_connection((HERE, port)) as stream:
        due = begun - 1.0
        try:
            while True:
                time.sleep(max(0.0, due - time.time()))
                stream.sendall(WRITE)
                due += len(WRITE) / RATE
        except OSError:
            return


def subscribe(port: int, begun: float) -> None:
    """Read at seven sinks as fast as data comes, and at one slowly, with a pause."""
    threads = [threading.Thread(target=read, args=(port, HERE)) for _ in range(7)]
    stalls = [begun + seconds for seconds in STALLS_S]
    threads.append(threading.Thread(target=read, args=(port, SLOW, stalls)))
    for thread in threads:
        thread.start()


def read(port: int, own: str, stalls: Sequence[float] = ()) -> None:
    """Read until the end; connect again after a reset."""
    while True:
        with socket.create_connection((HERE, port), source_address=(own, 0)) as stream:
            if stalls:
                stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 256 * 1024)
            try:
                while stream.recv(len(WRITE)):
                    if stalls:
                        time.sleep(len(WRITE) / (3 * RATE))
                        if stalls[0] < time.time() < stalls[1]:
                            time.sleep(stalls[1] - time.time())
                return
            except ConnectionResetError:
                time.sleep(0.2)


# --- the picture

INK, GREY, FAST, SLOW_COLOR, DROPPED = "#22272e", "#8b949e", "#4c8fbd", "#d9822b", "#b3433f"


def draw(runs: Mapping[str, tuple[list[Sample], list[tuple[float, str]]]]) -> None:
    """Draw three panels for each policy, and the log lines of the slow sink."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    pyplot.rcParams.update(
        {
            "font.size": 9,
            "text.color": INK,
            "axes.labelcolor": INK,
            "axes.edgecolor": GREY,
            "xtick.color": INK,
            "ytick.color": INK,
            "axes.spines.top": False,
            "axes.spines.right": False,
        }
    )
    picture, panels = pyplot.subplots(
        3, 2, figsize=(12, 7), sharex=True, sharey="row", height_ratios=(3, 2.4, 1.4)
    )
    picture.subplots_adjust(0.08, 0.18, 0.985, 0.95, wspace=0.06, hspace=0.16)
    for column, (policy, (samples, log)) in enumerate(runs.items()):
        rate, lag, dropped = panels[:, column]
        for sink in dict.fromkeys(sample.sink for sample in samples):
            own = [sample for sample in samples if sample.sink == sink]
            slow = SLOW in sink
            times = [sample.at for sample in own]
            rates = [(b.sent - a.sent) / (b.at - a.at) / MIB for a, b in pairwise(own)]
            style = {"color": SLOW_COLOR if slow else FAST, "lw": 1.6 if slow else 0.8}
            rate.plot(times[1:], rates, zorder=3 if slow else 2, **style)
            if slow:
                lag.fill_between(
                    times, [s.lag / MIB for s in own], color=SLOW_COLOR, alpha=0.25, lw=0
                )
                lag.plot(times, [s.lag / MIB for s in own], color=SLOW_COLOR, lw=1.6)
                dropped.plot(times, [s.dropped for s in own], color=DROPPED, lw=1.6)
        lag.axhline(MAX_LAG / MIB, color=GREY, lw=1, ls="--")
        lag.text(LASTS_S, MAX_LAG / MIB, "max_lag ", ha="right", va="bottom", color=GREY)
        rate.set_title(f'on_lag = "{policy}"', loc="left", weight="bold", family="monospace")
        for panel in (rate, lag, dropped):
            panel.axvspan(*STALLS_S, color=GREY, alpha=0.12, lw=0)
            panel.grid(axis="y", color=GREY, alpha=0.25, lw=0.6)
        rate.text(
            sum(STALLS_S) / 2, 44, "slow sink reads nothing", ha="center", va="top", color=GREY
        )
        if policy == "disconnect":
            lag.text(sum(STALLS_S) / 2 + 0.25, 1.9, "disconnected", ha="center", color=GREY)
        dropped.set_xlabel("seconds")
        events = [(at, text) for at, text in log if SLOW in text and 0 < at < LASTS_S]
        for number, (at, text) in enumerate(events, 1):
            for panel in (rate, lag, dropped):
                panel.axvline(at, color=INK, lw=0.7, ls=":")
            lag.text(
                at, 5.1, str(number), ha="center", va="center", fontsize=8, color="white",
                bbox={"boxstyle": "circle,pad=0.25", "fc": INK, "ec": "none"},
            )  # fmt: skip
            shown = re.sub(r"^.*ticker.subscribers (\S+):\d+:?", r"\1", text)
            picture.text(
                rate.get_position().x0, 0.09 - 0.03 * number, f"{number}  {at:4.2f} s  {shown}",
                family="monospace", fontsize=7.6,
            )  # fmt: skip
        picture.text(rate.get_position().x0, 0.09, "Log lines of the slow sink", weight="bold")
    rate, lag, dropped = panels[:, 0]
    rate.set_ylim(0, 48)
    lag.set_ylim(0, 5.6)
    dropped.set_ylim(-500, 14000)
    rate.set_ylabel("MiB/s, each sink")
    lag.set_ylabel("lag of the\nslow sink, MiB")
    dropped.set_ylabel("messages\ndropped")
    picture.align_ylabels(panels[:, 0])
    rate.plot([], [], color=FAST, label="seven sinks that keep up")
    rate.plot([], [], color=SLOW_COLOR, label="the slow sink")
    rate.legend(loc="upper left", frameon=False, fontsize=8)
    rate.set_xlim(0, LASTS_S)
    picture.savefig(PICTURE, dpi=110)


def quote(log: Iterable[str]) -> None:
    """Put the log lines of the producer and the slow sink into the page, without the date."""
    lines = [f"{line[11:]}\n" for line in log if SLOW in line or "producer" in line]
    PAGE.write_text(LOG.sub(lambda block: block[1] + "".join(lines), PAGE.read_text()))


def main(role: str = "", *arguments: str) -> None:
    """Make the picture, or run as one of its processes."""
    match role:
        case "produce" | "subscribe":
            port, begun = arguments
            {"produce": produce, "subscribe": subscribe}[role](int(port), float(begun))
        case "run":
            samples, log = run(*arguments)
            json.dump([[list(vars(each).values()) for each in samples], log], sys.stdout)
        case _:
            runs = {policy: measured(policy) for policy in POLICIES}
            draw(runs)
            quote(line for _, line in runs[POLICIES[0]][1])


def measured(policy: str) -> tuple[list[Sample], list[tuple[float, str]]]:
    """Run once in a process of its own, because a signal ends the proxy."""
    command = [sys.executable, "-m", __spec__.name, "run", policy]
    samples, log = json.loads(subprocess.check_output(command, stderr=subprocess.DEVNULL))
    return [Sample(*each) for each in samples], log


if __name__ == "__main__":
    main(*sys.argv[1:])
