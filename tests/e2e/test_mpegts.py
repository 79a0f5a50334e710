"""mpegts with real programs: ffmpeg makes a film; multicat, curl, socat and ffmpeg transfer it."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from tests.e2e.conftest import Starter, Tools
from tests.e2e.running import PATIENCE_S, Running, eventually, free_port
from tests.e2e.test_metrics import place, scrape
from tests.e2e.test_relay import Subscriber, socat
from tests.e2e.test_udp import bound
from vcproxy.plugins.mpegts import SIZE
from vcproxy.protocols.continuity import NULL_PID

VIDEO, AUDIO, TABLES = 256, 257, (0, 17, 4096)
"""The PIDs that ffmpeg uses."""


TARGET = "feed udp://127.0.0.1:.*: sink connected"
"""A line of the log. A Subscriber waits for the next such line, which must be its own."""


@pytest.fixture(scope="session")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film of one second in 60 KB, with the times of its packets beside it for multicat.

    So small that all of it fits in the buffer of a socket: nothing is lost if a process is stopped.
    """
    tools, path = Tools(tmp_path_factory.mktemp("film")), tmp_path_factory.mktemp("film") / "f.ts"
    tools.run(
        "ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=160x120:rate=25",
        "-f", "lavfi", "-i", "sine=440", "-t", "1", "-c:v", "mpeg2video", "-b:v", "200k",
        "-c:a", "mp2", "-b:a", "64k", "-f", "mpegts", str(path),
    )  # fmt: skip
    tools.run("ingests", "-p", str(VIDEO), str(path))
    assert path.stat().st_size < 100_000
    return path


class Group:
    """A relay of a multicast group on this computer, and how to send to the group."""

    def __init__(self, proxy: Starter, options: str = "", source: str = "") -> None:
        self.port = free_port(socket.SOCK_DGRAM)
        source = source or f"udp://239.1.1.1:{self.port}?interface=127.0.0.1"
        self.rtp = False
        self.running: Running = proxy(f"""
[metrics]
bind = "tcp://127.0.0.1:0"

[[listener]]
name = "feed"
plugin = "mpegts"

[listener.options]
source = "{source}"
subscribers = "tcp://127.0.0.1:0"
http_subscribers = "tcp://127.0.0.1:0"
{options}
""")
        self.running.wait_for(r"feed (udp://239\.1\.1\.1|unixgram):.*: producer connected")

    @property
    def url(self) -> str:
        return "http://" + self.running.uri("feed.http_subscribers").partition("//")[2]

    def send(self, tools: Tools, film: Path) -> None:
        """Send a film to the group with multicat, at its own speed."""
        options = [] if self.rtp else ["-U"]
        tools.run("multicat", *options, str(film), f"239.1.1.1:{self.port}@127.0.0.1")

    def count(self, event: str) -> float:
        """Return how often something has happened, from the metrics."""
        name = f"vcproxy_plugin_events_total,event={event},listener=feed"
        return scrape(place(self.running)).get(name, 0)

    def stop(self) -> None:
        """End the proxy in order: its clients end too."""
        self.running.signal(signal.SIGTERM)
        assert self.running.wait() == 0


def packets(data: bytes) -> list[bytes]:
    """Return the packets of a stream."""
    assert len(data) % SIZE == 0, "not whole packets"
    return [data[at : at + SIZE] for at in range(0, len(data), SIZE)]


def pid(packet: bytes) -> int:
    """Return the PID of a packet."""
    return int.from_bytes(packet[1:3]) & 0x1FFF


def without_padding(data: bytes) -> bytes:
    """Return the packets without null packets: multicat sends them at the end, to have seven in its
    last datagram."""
    return b"".join(packet for packet in packets(data) if pid(packet) != NULL_PID)


def send_until(tools: Tools, group: Group, film: Path, arrived: Callable[[], bool]) -> None:
    """Send a film again until it has arrived: the kernel may drop datagrams, also on loopback, when
    other programs keep it busy."""
    deadline = time.monotonic() + 2 * PATIENCE_S
    while not arrived():
        assert time.monotonic() < deadline, f"the film did not arrive:\n{group.running.log}"
        group.send(tools, film)
        with suppress(AssertionError):
            eventually(arrived, "the film has arrived")


def holds(data: bytes, film: bytes) -> bool:
    """Whether whole packets with the film in one piece were received."""
    whole = len(data) // SIZE * SIZE
    return film in without_padding(data[:whole])


@pytest.mark.parametrize("rtp", [False, True])
def test_all_kinds_of_clients_get_the_film_of_a_group(
    proxy: Starter, tools: Tools, tmp_path: Path, film: Path, rtp: bool
) -> None:
    there = free_port(socket.SOCK_DGRAM)
    group = Group(proxy, f'targets = "udp://127.0.0.1:{there}"')
    copy = tmp_path / "multicat.ts"
    tools.start("multicat", "-u", "-U", f"@127.0.0.1:{there}", str(copy))
    eventually(lambda: bound(there), "multicat has bound its port")
    group.running.wait_for(TARGET)
    clients = [
        Subscriber(group.running, tools, tmp_path / "curl", "curl", "-sN", group.url),
        socat(group.running, tools, tmp_path / "socat"),
    ]
    group.rtp = rtp
    sent = film.read_bytes()
    files = [tmp_path / "curl", tmp_path / "socat", copy]
    send_until(tools, group, film, lambda: all(holds(file.read_bytes(), sent) for file in files))
    group.stop()
    for client in clients:
        client.has_ended()


def test_only_wanted_pids_arrive_and_are_played(
    proxy: Starter, tools: Tools, tmp_path: Path, film: Path
) -> None:
    group = Group(proxy, f"pids = {[*TABLES, AUDIO]}")
    client = Subscriber(group.running, tools, tmp_path / "curl", "curl", "-sN", group.url)
    wanted = b"".join(
        packet for packet in packets(film.read_bytes()) if pid(packet) in (*TABLES, AUDIO)
    )
    send_until(tools, group, film, lambda: client.received.count(wanted) >= 2)
    assert {pid(packet) for packet in packets(client.received)} == {*TABLES, AUDIO}
    shown = tools.run("ffprobe", "-v", "error", "-show_streams", "-i", str(tmp_path / "curl"))
    assert b"codec_name=mp2" in shown
    assert group.count("discontinuities") > 0, "the film began again"


def test_packets_that_were_lost_before_are_counted(
    proxy: Starter, tools: Tools, tmp_path: Path, film: Path
) -> None:
    """Over a Unix socket: it loses no datagram itself."""
    group = Group(proxy, source=f"unixgram:{tmp_path}/feed")
    client = socat(group.running, tools, tmp_path / "socat")
    sent = packets(film.read_bytes())
    lost = next(n for n, packet in enumerate(sent) if n > 20 and pid(packet) == VIDEO)
    del sent[lost]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.connect(f"{tmp_path}/feed")
        for packet in sent:
            sender.send(packet)
        sender.send(b"no transport stream")
    client.has_received(b"".join(sent))
    eventually(lambda: group.count("damaged") == 1, "the last datagram is dropped")
    assert group.count("missing_packets") == group.count("discontinuities") == 1
    group.running.wait_for(f"feed: packets of PID {VIDEO} are missing; 1 of all so far")


def test_ffmpeg_sends_rtp_and_plays_from_http(
    proxy: Starter, tools: Tools, tmp_path: Path, film: Path
) -> None:
    group = Group(proxy)
    seen = tmp_path / "seen.ts"
    player = tools.start(
        "ffmpeg", "-v", "error", "-i", group.url, "-map", "0:v", "-frames:v", "20",
        "-f", "rawvideo", str(seen),
    )  # fmt: skip
    group.running.wait_for("feed.http_subscribers .*: sink connected")
    deadline = time.monotonic() + 2 * PATIENCE_S
    while player.poll() is None and time.monotonic() < deadline:  # it examines some seconds first
        tools.run(
            "ffmpeg", "-v", "error", "-stream_loop", "2", "-i", str(film), "-c", "copy",
            "-f", "rtp_mpegts", f"rtp://239.1.1.1:{group.port}?localaddr=127.0.0.1",
        )  # fmt: skip
    player.wait(PATIENCE_S)
    assert seen.stat().st_size == 20 * 160 * 120 * 3 // 2


def test_ffmpeg_sends_a_stream_over_tcp(
    proxy: Starter, tools: Tools, tmp_path: Path, film: Path
) -> None:
    """To UDP, seven packets are sent in a datagram."""
    there = free_port(socket.SOCK_DGRAM)
    running = proxy(f"""
[[listener]]
name = "feed"
bind = "tcp://127.0.0.1:0"
plugin = "mpegts"

[listener.options]
subscribers = "tcp://127.0.0.1:0"
targets = "udp://127.0.0.1:{there}"
""")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", there))
        receiver.settimeout(PATIENCE_S)
        running.wait_for(TARGET)
        client = socat(running, tools, tmp_path / "socat")
        where = "tcp:" + running.uri("feed").partition("//")[2]
        tools.run("socat", "-u", f"open:{film}", where)
        client.has_received(film.read_bytes())
        received = [receiver.recv(65536)]  # the kernel may have dropped others
        receiver.setblocking(False)
        with suppress(BlockingIOError):
            while True:
                received.append(receiver.recv(65536))
        assert all(datagram in film.read_bytes() for datagram in received)
        assert {len(datagram) % SIZE for datagram in received} == {0}
        assert max(map(len, received)) == 7 * SIZE
        tools.run("ffmpeg", "-v", "error", "-i", str(film), "-c", "copy", "-f", "mpegts",
                  where.replace("tcp:", "tcp://"))  # fmt: skip
        running.wait_for("feed 127.0.0.1:.*: producer closed: the source ended", 2)
        eventually(lambda: len(client.received) > film.stat().st_size, "the second film arrives")
    assert {packet[0] for packet in packets(client.received)} == {0x47}
    running.signal(signal.SIGTERM)
    assert running.wait() == 0
