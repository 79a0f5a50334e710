"""The relay as a process: kinds of subscribers, slow ones, the end, and reload."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.e2e.conftest import Certificates, Starter, Tools
from tests.e2e.running import Running, connect, eventually
from tests.e2e.test_signals import refuses, rewrite

LINES = b"".join(b"%d %s\n" % (number, b"x" * 190) for number in range(20_000))
"""4 MB: more than the kernel holds for a subscriber that does not read."""


def relay(
    options: str = "",
    *,
    subscribers: str = "tcp://127.0.0.1:0",
    framing: str = "lines",
    more: str = "",
) -> str:
    """A configuration with one relay."""
    return f"""
[[listener]]
name = "feed"
bind = "tcp://127.0.0.1:0"
plugin = "relay"
{more}
[listener.options]
subscribers = {subscribers.split()}
framing = "{framing}"
{options}
"""


class Subscriber:
    """A program that connects to a relay and writes what it receives to a file."""

    def __init__(self, running: Running, tools: Tools, file: Path, *command: str) -> None:
        joined = running.log.count(": sink connected; ")
        self._file = file
        tools.require(command[0])
        self.process = tools.start("sh", "-c", f'exec "$@" > {file}', "sh", *command)
        running.wait_for(": sink connected; ", joined + 1)

    @property
    def received(self) -> bytes:
        return self._file.read_bytes()

    def has_received(self, data: bytes) -> None:
        """Wait until the subscriber has received this data, and no more."""
        eventually(lambda: len(self.received) >= len(data), f"{len(data)} bytes received")
        assert self.received == data

    def has_ended(self) -> None:
        """Wait until the program has ended."""
        self.process.wait(10)


def socat(running: Running, tools: Tools, file: Path, uri: str = "") -> Subscriber:
    """A subscriber over TCP or a Unix socket."""
    uri = uri or running.uri("feed.subscribers")
    place = uri if uri.startswith("unix:") else "tcp:" + uri.partition("//")[2]
    return Subscriber(running, tools, file, "socat", "-u", place, "-")


def test_all_kinds_of_subscribers_get_every_line(
    proxy: Starter, tools: Tools, certificates: Certificates, tmp_path: Path
) -> None:
    certificate, key = certificates.issue("localhost")
    running = proxy(
        relay(
            'on_lag = "block"',
            subscribers=f"tcp://127.0.0.1:0 tls://127.0.0.1:0 unix:{tmp_path}/sub",
            more=f'tls = {{ certificate = "{certificate}", key = "{key}" }}',
        )
    )
    plain, secure, unix = running.uris("feed.subscribers")
    port = plain.rpartition(":")[2]
    openssl = ("openssl", "s_client", "-quiet", "-CAfile", str(certificates.ca), "-connect")
    subscribers = [
        socat(running, tools, tmp_path / "tcp", plain),
        socat(running, tools, tmp_path / "unix", unix),
        Subscriber(running, tools, tmp_path / "ncat", "ncat", "--recv-only", "127.0.0.1", port),
        Subscriber(running, tools, tmp_path / "tls", *openssl, secure.removeprefix("tls://")),
    ]
    running.wait_for("feed.subscribers .*: sink connected; 4 sinks")
    tools.run("socat", "-u", "-", "tcp:" + running.uri("feed").partition("//")[2], stdin=LINES)
    for each in subscribers:
        each.has_received(LINES)
    running.signal(signal.SIGTERM)
    assert running.wait() == 0
    for each in subscribers:
        each.has_ended()


@pytest.mark.parametrize("policy", ["drop_oldest", "disconnect"])
def test_a_stopped_subscriber_does_not_delay_another(
    proxy: Starter, tools: Tools, tmp_path: Path, policy: str
) -> None:
    running = proxy(relay(f'on_lag = "{policy}"\nmax_lag = "64KiB"'))
    quick = socat(running, tools, tmp_path / "quick")
    slow = socat(running, tools, tmp_path / "slow")
    os.kill(slow.process.pid, signal.SIGSTOP)
    rounds = 5
    with running.connect("feed") as producer:
        running.wait_for("feed 127.0.0.1:.*: producer connected$")
        began = time.monotonic()
        for _ in range(rounds):
            producer.sendall(LINES)
        quick.has_received(rounds * LINES)
        assert time.monotonic() - began < 10, (
            "20 MB took 10 s: the quick one has waited for the slow one"
        )
        if policy == "disconnect":
            running.wait_for("feed.subscribers .*: sink closed: lagged too far behind; .* 1 sink$")
        else:
            running.wait_for("feed.subscribers .*: sink lags .* its oldest messages are dropped$")
        assert running.resident() < 100 << 20
        os.kill(slow.process.pid, signal.SIGCONT)
        if policy == "disconnect":
            slow.has_ended()
        else:
            running.wait_for("feed.subscribers .*: sink recovered; .* messages dropped")
            producer.sendall(b"the last\n")
            eventually(lambda: slow.received.endswith(b"the last\n"), "the last line")
            sent = (rounds * LINES).splitlines()
            received = slow.received.splitlines()[:-1]
            assert 0 < len(received) < len(sent)
            assert set(received) <= set(sent), "not whole lines"
    running.signal(signal.SIGTERM)
    assert running.wait() == 0


@pytest.mark.parametrize("framing", ["lines", "none"])
def test_drain_takes_no_time(proxy: Starter, tools: Tools, tmp_path: Path, framing: str) -> None:
    running = proxy(relay('on_lag = "block"', framing=framing))
    subscriber = socat(running, tools, tmp_path / "one")
    with running.connect("feed") as producer:
        producer.sendall(LINES)
        subscriber.has_received(LINES)
        began = time.monotonic()
        running.signal(signal.SIGTERM)
        assert running.wait() == 0
        assert time.monotonic() - began < 3
        assert producer.recv(1) == b""
    subscriber.has_ended()


def test_a_reload_adds_an_address_and_keeps_the_relay(
    proxy: Starter, tools: Tools, tmp_path: Path
) -> None:
    running = proxy(relay())
    old = socat(running, tools, tmp_path / "old")
    with running.connect("feed") as producer:
        producer.sendall(b"one\n")
        old.has_received(b"one\n")
        rewrite(running, relay(subscribers=f"tcp://127.0.0.1:0 unix:{tmp_path}/new"))
        running.idle_descriptors += 1
        new = socat(running, tools, tmp_path / "new-file", f"unix:{tmp_path}/new")
        producer.sendall(b"two\n")
        old.has_received(b"one\ntwo\n")
        new.has_received(b"two\n")
    for each in (old, new):
        each.process.kill()


def test_a_reload_without_the_listener_closes_all(
    proxy: Starter, tools: Tools, tmp_path: Path
) -> None:
    echo = '[[listener]]\nname = "echo"\nbind = "tcp://127.0.0.1:0"\nplugin = "echo"\n'
    running = proxy(relay() + echo)
    subscriber = socat(running, tools, tmp_path / "one")
    uri = running.uri("feed")
    with running.connect("feed") as producer:
        rewrite(running, echo)
        running.idle_descriptors -= 2
        assert producer.recv(1) == b""
    subscriber.has_ended()
    with pytest.raises(ConnectionRefusedError):
        connect(uri)
    assert refuses(running, "feed")


def test_a_target_is_connected_again(proxy: Starter, tools: Tools, tmp_path: Path) -> None:
    target = f"unix:{tmp_path}/target"
    running = proxy(relay(f'on_lag = "block"\ntargets = "{target}"'))
    running.wait_for(f"feed {target}: no such file or directory; trying again in")
    for times in (1, 2):
        file = tmp_path / f"received {times}"
        server = tools.start(
            "sh", "-c", f'exec socat -u "UNIX-LISTEN:{tmp_path}/target,unlink-early" - > "{file}"'
        )
        running.wait_for(f"feed {target}: sink connected; 1 sink", times)
        tools.run("socat", "-u", "-", "tcp:" + running.uri("feed").partition("//")[2], stdin=LINES)
        eventually(lambda file=file: file.read_bytes() == LINES, "all of it")  # type: ignore[misc]
        server.kill()
        server.wait()
        running.wait_for(f"feed {target}: sink closed: the sink ended", times)


def test_a_fault_is_reported_at_its_key(tmp_path: Path) -> None:
    file = tmp_path / "relay.toml"
    file.write_text(relay('on_lag = "drop_oldest"', framing="none"))
    from tests.e2e.running import VCPROXY

    done = subprocess.run([*VCPROXY, "-t", "-c", str(file)], capture_output=True, check=False)
    assert done.returncode == 1
    assert done.stderr.decode() == (
        f'{file}:10:1: listener.feed.options.on_lag: "drop_oldest" drops messages, and '
        'framing = "none" has none: use "block" or "disconnect", or set framing\n'
    )
