"""Recordings of the real program with real clients, and their replays."""

from __future__ import annotations

import os
import re
import signal
import socket
import ssl
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest

from tests.e2e.conftest import Certificates, Starter, Tools
from tests.e2e.running import ECHO, PATIENCE_S, VCPROXY, Server, all_of, exactly, forward
from tests.e2e.test_control import ask, door
from tests.e2e.web import GET, origin, web
from tests.proxy_protocol.headers import V4
from vcproxy.proxy_protocol.encoder import encode_v2
from vcproxy.proxy_protocol.parser import parse
from vcproxy.replay.format import entries
from vcproxy.replay.format.reader import RecordingLog
from vcproxy.replay.format.writer import Writer
from vcproxy.testing.running import Running, eventually

CONF = Path(__file__).parents[2] / "conf"

Record = Callable[[str], Running]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.fixture
def record(proxy: Starter, log: Path) -> Record:
    """Return a function that starts the program with recording."""
    return lambda text: proxy(f'{text}\n[record]\nfile = "{log}"\n')


def replay(log: Path, *options: str | Path, environment: dict[str, str] | None = None) -> str:
    """Run a replay; return its exit status and its output."""
    done = subprocess.run(
        [*VCPROXY, "replay", str(log), *map(str, options)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE_S,
        env={**os.environ, **(environment or {})},
        cwd="/",
        check=False,
    )
    assert "Traceback" not in done.stderr
    return f"{done.returncode}: {done.stdout}{done.stderr}"


def replays(log: Path) -> None:
    """Check that a log can be replayed, and that the recording of the replay is identical."""
    copy = log.with_suffix(".copy")
    output = replay(log, "--record", copy)
    assert re.fullmatch(rf"0: {log}: \d+ steps, all as recorded\n", output), output
    assert copy.read_bytes() == log.read_bytes()


def own_ports(name: str) -> str:
    """Return a configuration of conf/, with free ports."""
    return re.sub(r"(bind = .*:)\d+", r"\g<1>0", (CONF / name).read_text())


def test_dates_and_loops(record: Record, log: Path) -> None:
    """A replay repeats the time of day and the random token in Via."""
    with origin() as server:
        running = record(web(server.uri, options='routes = [{ path = "/own", answer = {} }, {}]'))
        with running.connect("in") as client:
            received = b""
            began = time.monotonic()
            while time.monotonic() - began < 1.2:
                client.sendall(b"GET /own HTTP/1.1\r\nHost: a\r\n\r\n")
                received += client.recv(1 << 16)
                client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                received += client.recv(1 << 16)
                time.sleep(0.1)
            via = server.received[0].fields["Via"]
            client.sendall(f"GET / HTTP/1.1\r\nHost: a\r\nVia: {via}\r\n\r\n".encode())
            assert b"proxy_loop_detected" in client.recv(1 << 16)
    dates = [
        parsedate_to_datetime(date) for date in re.findall(r"\nDate: (.*)\r", received.decode())
    ]
    assert len(set(dates)) in (2, 3)
    assert abs(dates[-1].timestamp() - time.time()) < 5
    assert re.fullmatch(r"1\.1 vcproxy \([0-9a-f]{8}\)", via)
    running.stop()
    replays(log)


def test_forward(record: Record, tools: Tools, log: Path) -> None:
    echo = "SYSTEM:cat"
    with Server() as probe:
        port = probe.getsockname()[1]
    tools.serve(f"tcp://127.0.0.1:{port}", "socat", f"TCP-LISTEN:{port},fork,reuseaddr", echo)
    running = record(forward(f"tcp://127.0.0.1:{port}"))
    large = os.urandom(3_000_000)
    for data in (b"hello\n", large):
        client = "socat", "-t5", "-", f"TCP:127.0.0.1:{running.port('in')}"
        assert tools.run(*client, stdin=data) == data
    running.stop()
    replays(log)


def test_validate(record: Record, log: Path) -> None:
    with Server() as server:
        text = re.sub(r"servers = .*", f'servers = ["{server.uri}"]', own_ports("validate.toml"))
        running = record(text)
        with running.connect("orders") as client:
            client.sendall(b'{"id": 1}\n{"id": 1, "op": "a"}\n')
            assert exactly(client, 23) == b'{"error": "not valid"}\n'
            with server.next() as accepted:
                assert exactly(accepted, 21) == b'{"id": 1, "op": "a"}\n'
                accepted.sendall(b"1\n")
                assert exactly(client, 2) == b"1\n"
    running.stop()
    replays(log)


def test_http(record: Record, tools: Tools, log: Path) -> None:
    with origin() as server:
        running = record(web(server.uri))
        url = f"http://127.0.0.1:{running.port('in')}/"
        curl = "curl", "-sS", "-H", "Expect:", "--data-binary", "@-", url, url
        for framed in ((), ("-H", "Transfer-Encoding: chunked")):
            data = os.urandom(300_000)
            assert tools.run(*curl, *framed, stdin=data).startswith(data)
        tools.run("wrk", "-c8", "-t1", "-d1s", url)
    running.stop()
    replays(log)


def test_changes_of_an_operator(record: Record, log: Path) -> None:
    with Server() as server:
        running = record(forward(server.uri))
        with running.connect("in") as client, server.next() as accepted:
            client.sendall(b"ping")
            assert exactly(accepted, 4) == b"ping"
            assert ask(door(running), f"SERVER name={server.uri};state=drain").startswith("CHANGED")
            assert ask(door(running), "KILL conn=0-1").startswith("CHANGED list=0-1: ")
            with pytest.raises(ConnectionResetError):
                client.recv(1)
        assert ask(door(running), "DRAIN").startswith("CHANGED")
    running.stop()
    steps = [entry for _, entry in RecordingLog(log).steps()]
    assert [each.name for each in steps if isinstance(each, entries.ChangedEntry)] == [
        "SERVER",
        "KILL",
        "DRAIN",
    ]
    replays(log)


def test_split(record: Record, log: Path) -> None:
    with Server() as server:
        text = re.sub(r"servers = .*", f'servers = ["{server.uri}"]', own_ports("split.toml"))
        running = record(text)
        with running.connect("shared") as first, running.connect("shared") as second:
            first.sendall(b'{"id": 1}\n')
            second.sendall(b'{"id": 2}\n')
            with server.next() as accepted:
                exactly(accepted, 20)
                accepted.sendall(b'[{"id": 2, "r": 2}, {"id": 1, "r": 1}]\n')
                assert b'"r": 1' in first.recv(100)
                assert b'"r": 2' in second.recv(100)
    running.stop()
    replays(log)


def test_relay(record: Record, log: Path) -> None:
    running = record(
        """
[[listener]]
name = "ticker"
bind = "tcp://127.0.0.1:0"
plugin = "relay"
options = { subscribers = "tcp://127.0.0.1:0", framing = "lines", history = 10, join = "tail" }
"""
    )
    with running.connect("ticker") as producer:
        producer.sendall(b"early\n")
        subscribers = [running.connect("ticker.subscribers") for _ in range(5)]
        for subscriber in subscribers:
            assert exactly(subscriber, 6) == b"early\n"
        producer.sendall(b"one\ntwo\n" * 1000)
        for subscriber in subscribers:
            exactly(subscriber, 8000)
            subscriber.close()
    running.stop()
    replays(log)


def test_tls(record: Record, tools: Tools, certificates: Certificates, log: Path) -> None:
    certificate, key = certificates.issue("localhost")
    running = record(
        f"""
[[listener]]
name = "echo"
bind = "tls://127.0.0.1:0"
plugin = "echo"
tls = {{ certificate = "{certificate}", key = "{key}" }}
"""
    )
    port = running.port("echo")
    client = "socat", "-t5", "-", f"OPENSSL:localhost:{port},pf=ip4,cafile={certificates.ca}"
    assert tools.run(*client, stdin=b"hello\n" * 50_000) == b"hello\n" * 50_000
    tools.run(
        "openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-CAfile", str(certificates.ca)
    )
    with running.connect("echo") as plain:
        plain.sendall(b"GET / HTTP/1.0\r\n\r\n")
        all_of(plain)
    running.stop()
    certificate.rename(certificate.with_suffix(".gone"))
    try:
        replays(log)
    finally:
        certificate.with_suffix(".gone").rename(certificate)


def test_proxy_headers(record: Record, certificates: Certificates, log: Path) -> None:
    certificate, key = certificates.issue("localhost")
    with Server() as behind:
        running = record(
            forward(
                behind.uri,
                listener='proxy_protocol = { from = "127.0.0.0/8" }',
                upstream='proxy_protocol = { tlvs = ["ssl", "unique-id", "crc32c"] }',
                bind="tls://127.0.0.1:0",
            ).replace(
                "[upstream.out]",
                f'[listener.tls]\ncertificate = "{certificate}"\nkey = "{key}"\n[upstream.out]',
            )
        )
        context = ssl.create_default_context(cafile=certificates.ca)
        with running.connect("in") as client:
            client.sendall(encode_v2(V4))
            with context.wrap_socket(client, server_hostname="localhost") as secure:
                secure.sendall(b"hello")
                with behind.next() as server:
                    received = server.recv(4096)
                    while not received.endswith(b"hello"):
                        received += server.recv(4096)
                    parsed = parse(received)
                    assert parsed is not None
                    assert parsed.header.peer == V4.peer
                    assert parsed.header.tls is not None
                    assert parsed.header.tls.version == "TLSv1.3"
        with running.connect("in") as stranger:
            stranger.sendall(b"hello\r\n")
            with suppress(ConnectionResetError):
                all_of(stranger)
        running.wait_for("is refused: its PROXY header is not valid at byte 0")
    running.stop()
    replays(log)
    assert "none of them differs" in replay(log, "--plugin", "forward")
    shown = subprocess.check_output(
        [*VCPROXY, "log", "show", str(log), "--conversation", "1"], text=True
    )
    assert "client   announced 203.0.113.7:40000 at 192.0.2.1:443" in shown


def test_datagrams(record: Record, tools: Tools, log: Path) -> None:
    running = record('[[listener]]\nname = "echo"\nbind = "udp://127.0.0.1:0"\nplugin = "echo"\n')
    client = "socat", "-t0.3", "-", f"UDP:127.0.0.1:{running.port('echo')}"
    assert tools.run(*client, stdin=b"hello") == b"hello"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(PATIENCE_S)
        sock.connect(("127.0.0.1", running.port("echo")))
        for n in range(50):
            sock.send(b"%d" % n)
            assert sock.recv(100) == b"%d" % n
            sock.send(b"")
            assert sock.recv(100) == b""
    running.signal(signal.SIGTERM)
    running.wait_for("draining")
    running.signal(signal.SIGTERM)
    running.wait()
    replays(log)


def test_the_echo_pair(record: Record, proxy: Starter, tmp_path: Path, log: Path) -> None:
    text = (CONF / "echo-server.toml").read_text().replace("0.0.0.0:3333", "127.0.0.1:0")
    serving = record(text)
    port = str(serving.port("echo-server"))
    client_log = tmp_path / "client"
    text = (CONF / "echo-client.toml").read_text().replace("3333", port)
    asking = proxy(f'{text}\n[record]\nfile = "{client_log}"\n')
    asking.wait_for("^reply: ", 8)
    for running in (asking, serving):
        running.signal(signal.SIGTERM)
        assert running.wait() == 0
    replays(log)
    replays(client_log)


def test_standard_input_and_output(log: Path) -> None:
    text = '[[listener]]\nname = "io"\nbind = "stdio:"\nplugin = "echo"\n'
    file = log.with_suffix(".toml")
    file.write_text(text)
    command = [*VCPROXY, "-c", str(file), "--record", str(log)]
    done = subprocess.run(command, input=b"hello\n", capture_output=True, timeout=PATIENCE_S,
                          check=True)  # fmt: skip
    assert done.stdout == b"hello\n"
    replays(log)


def test_calls_timers_and_a_reload(record: Record, tmp_path: Path, log: Path) -> None:
    plugin = tmp_path / "calling.py"
    source = """
from vcproxy.api import Accept, Defer, Reject, Validator, Verdict, lines

def judge(message: bytes) -> Verdict:
    if message.startswith(b"bad"):
        raise ValueError("bad")
    return Reject(b"no WORD\\n", keep=True)

class Calling(Validator):
    framing = lines()
    def check(self, message: bytes) -> Verdict:
        return Defer(judge, message, deadline="5s")
"""
    plugin.write_text(source.replace("WORD", "one"))
    with Server() as server:
        text = forward(server.uri).replace('"forward"', f'"{plugin}:Calling"')
        running = record(text)
        with running.connect("in") as client:
            client.sendall(b"hello\n")
            assert exactly(client, 7) == b"no one\n"
            plugin.write_text("nonsense(\n")
            running.signal(signal.SIGHUP)
            running.wait_for("not reloaded")
            plugin.write_text(source.replace("WORD", "two"))
            running.signal(signal.SIGHUP)
            running.wait_for("reloaded .*: new connections use it")
            client.sendall(b"old\n")
            assert exactly(client, 7) == b"no one\n", "an open conversation keeps its plugin"
            with running.connect("in") as other:
                other.sendall(b"new\n")
                assert exactly(other, 7) == b"no two\n"
                other.sendall(b"bad\n")
                with pytest.raises(ConnectionResetError):
                    all_of(other)
    running.expected_tracebacks = None
    running.stop()
    plugin.unlink()
    replays(log)


def test_a_plugin_reloads_and_stops_the_proxy(record: Record, tmp_path: Path, log: Path) -> None:
    """A plugin can request a reload and the end of the proxy."""
    plugin = tmp_path / "operated.py"
    source = """
from vcproxy.api import Reject, Validator, Verdict, lines, reload_proxy, stop_proxy

class Operated(Validator):
    framing = lines()
    def check(self, message: bytes) -> Verdict:
        if message == b"stop":
            stop_proxy(self.engine)
            stop_proxy(self.engine)  # harmless
        if message == b"reload":
            reload_proxy(self.engine)
        return Reject(b"WORD\\n", keep=True)
"""
    plugin.write_text(source.replace("WORD", "one"))
    with Server() as server:
        running = record(forward(server.uri).replace('"forward"', f'"{plugin}:Operated"'))
        with running.connect("in") as old:
            plugin.write_text(source.replace("WORD", "two"))
            old.sendall(b"reload\n")
            assert exactly(old, 4) == b"one\n"
            running.wait_for("reloaded .*: new connections use it")
            with running.connect("in") as new:
                new.sendall(b"hello\n")
                assert exactly(new, 4) == b"two\n"
            old.sendall(b"stop\n")
            assert exactly(old, 4) == b"one\n"
            running.wait_for("draining connections: [1-9]")
            old.sendall(b"hello\n")
            assert exactly(old, 4) == b"one\n", "connections are drained, not closed"
        assert running.wait() == 0
    replays(log)


def echoing(tmp_path: Path, name: str, answer: str) -> str:
    """Write a plugin that replies to each line with the value of an expression; return its name."""
    plugin = tmp_path / f"{name}.py"
    plugin.write_text(
        f"""
import time
from vcproxy.api import Reject, Validator, Verdict, lines

class Odd(Validator):
    framing = lines()
    def check(self, message: bytes) -> Verdict:
        return Reject(({answer}).encode() + b"\\n", keep=True)
"""
    )
    return f'"{plugin}:Odd"'


@pytest.mark.parametrize(
    "answer", ["str(time.time())", "'x' * (id(object()) // 16 % 1000) + str(id(self))"]
)
def test_input_that_is_not_recorded_is_found(
    record: Record, tmp_path: Path, log: Path, answer: str
) -> None:
    with Server() as server:
        plugin = echoing(tmp_path, "odd", answer)
        running = record(forward(server.uri).replace('"forward"', plugin))
        with running.connect("in") as client:
            client.sendall(b"hello\n")
            while b"\n" not in client.recv(10_000):
                pass
    running.stop()
    output = replay(log)
    assert output.startswith("1: ")
    assert re.search(r"step \d+: the replay differs from the recording\n  recorded: Sent", output)
    assert re.search(r"conversation: \d, in 127\.0\.0\.1:\d+\n  machine: ", output)


def test_the_order_of_a_set_of_strings_is_repeated(
    record: Record, tmp_path: Path, log: Path
) -> None:
    with Server() as server:
        plugin = echoing(tmp_path, "sets", "','.join({*message.decode()})")
        running = record(forward(server.uri).replace('"forward"', plugin))
        with running.connect("in") as client:
            client.sendall(b"abcdefghijklmnop\n")
            exactly(client, 32)
    running.stop()
    replays(log)
    assert replay(log, environment={"PYTHONHASHSEED": "1"}).startswith("0:")


def a_run(record: Record) -> Running:
    running = record(ECHO)
    with running.connect("echo") as client:
        for n in range(20):
            client.sendall(b"%d\n" % n)
            exactly(client, len(b"%d\n" % n))
    return running


def test_a_killed_run_is_replayed_as_far_as_it_was_recorded(record: Record, log: Path) -> None:
    running = record(ECHO)
    with running.connect("echo") as client:
        client.sendall(b"hello\n")
        exactly(client, 6)
        eventually(
            lambda: any(
                isinstance(entry, entries.PassedEntry) for _, entry in RecordingLog(log).steps()
            ),
            "the data is in the log file",
        )
        running.kill()
    running.status = 0
    assert replay(log).startswith("0: ")


@pytest.mark.parametrize(
    ("statement", "status"), [("os._exit(7)", 7), ("os.kill(os.getpid(), 9)", -signal.SIGKILL)]
)
@pytest.mark.parametrize("where", ["message", "call", "accept"])
def test_the_message_that_kills_the_process_is_in_the_log(
    proxy: Starter, log: Path, tmp_path: Path, statement: str, status: int, where: str
) -> None:
    """A replay of a crash crashes as well, in the same event."""
    (tmp_path / "deadly.py").write_text(
        f"""
import os
from vcproxy.api import Accept, Defer, Verdict, Validator, lines

def judge(message: bytes) -> Verdict:
    return Accept()

class Deadly(Validator):
    framing = lines()

    def start(self) -> None:
        if "{where}" == "accept":
            {statement}
        super().start()

    def check(self, message: bytes) -> Verdict:
        if message != b"die":
            return Accept()
        if "{where}" == "message":
            {statement}
        return Defer(judge, message, deadline="5s", then=self.judged)

    def judged(self, message: bytes, value: object) -> Verdict:
        {statement}
        return Accept()
"""
    )
    with Server() as server:
        text = forward(server.uri).replace('"forward"', f'"{tmp_path}/deadly.py:Deadly"')
        running = proxy(f'{text}\n[record]\nfile = "{log}"\n')
        with running.connect("in") as client:
            if where != "accept":
                client.sendall(b"hello\n")
                with server.next() as accepted:
                    assert exactly(accepted, 6) == b"hello\n"
                    client.sendall(b"die\n")
                    assert running.wait() == status
            else:
                assert running.wait() == status
    running.status = 0
    assert replay(log, "--trace", "Deadly").startswith(f"{status}: ")
    if where != "accept":
        assert "die" in str([entry for _, entry in RecordingLog(log).steps()])


RESETS = struct.pack("ii", 1, 0)


def test_clients_that_reset_while_the_response_is_sent(record: Record, log: Path) -> None:
    """A send that fails is reported in the next turn: the connection may be closed by then."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"
    with Server() as server:
        running = record(web(server.uri))
        for number in range(10):
            client = running.connect("in")
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESETS)
            client.sendall(GET)
            with server.next() as accepted:
                accepted.recv(1000)
                accepted.sendall(head)
                client.recv(1)
                running.signal(signal.SIGSTOP)  # the proxy gets both events in one turn
                eventually(lambda: stopped(running), "the process is stopped")
                if number % 2:
                    client.close()
                    accepted.sendall(b"more")
                else:
                    accepted.sendall(b"more")
                    client.close()
                running.signal(signal.SIGCONT)
                with suppress(ConnectionError):
                    all_of(accepted)
    running.stop()
    replays(log)


def stopped(running: Running) -> bool:
    return Path(f"/proc/{running.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def test_clients_that_disconnect_while_a_name_is_resolved(record: Record, log: Path) -> None:
    """The result arrives after the connection that requested it is closed."""
    with Server() as server:
        running = record(forward(server.uri.replace("127.0.0.1", "localhost")))
        for _ in range(30):
            running.signal(signal.SIGSTOP)
            eventually(lambda: stopped(running), "the process is stopped")
            client = running.connect("in")
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESETS)
            client.close()
            running.signal(signal.SIGCONT)
    running.stop()
    replays(log)


def test_a_log_truncated_at_any_byte_is_replayed(record: Record, log: Path) -> None:
    a_run(record).stop()
    content = log.read_bytes()
    first = next(iter(RecordingLog(log))).offset
    script = f"""
import sys
from pathlib import Path
from vcproxy.replay.playback.replay import Replay
log, content = Path({str(log)!r}), Path({str(log)!r}).read_bytes()
for size in range({first}, len(content) + 1):
    log.write_bytes(content[:size])
    replay = Replay(log)
    while replay.step():
        pass
print("all")
"""
    seed = RecordingLog(log).header.hash_seed
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONHASHSEED": seed},
        timeout=4 * PATIENCE_S,
        check=False,
    )
    assert done.stdout == "all\n", done.stderr
    assert len(content) < 10_000


def test_a_replay_stops_at_a_step_and_traces_machines(record: Record, log: Path) -> None:
    a_run(record).stop()
    assert replay(log, "--until", "5") == f"0: {log}: 5 steps, all as recorded\n"
    output = replay(log, "--trace", "Echo")
    assert re.search(r"step \d+: .* got 'ACCEPT' from OS|step \d+: .* got ", output), output
    assert f"{log}: --trace Nobody: no machine class is named Nobody" in replay(
        log, "--trace", "Nobody"
    )


def test_the_debugger_starts_before_an_event(record: Record, log: Path) -> None:
    a_run(record).stop()
    command = [*VCPROXY, "replay", str(log), "--break", "EOS"]
    for typed, status, printed in [
        ("p key\nc\n", 0, "(Pdb) EOS\n"),
        ("q\n", 1, "quit in the debugger"),
    ]:
        done = subprocess.run(
            command, input=typed, capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )
        assert done.returncode == status
        assert printed in done.stdout + done.stderr


def test_another_python_version_is_reported(record: Record, log: Path) -> None:
    a_run(record).stop()
    content = log.read_bytes()
    assert content.count(sys.version.split()[0].encode()) == 1
    old = RecordingLog(log)
    turns = [frame.entries for frame in old]
    log.unlink()
    writer = Writer(log, replace(old.header, python="3.99.1"))
    for turn in turns:
        for entry in turn:
            writer.add(entry)
        writer.cut()
    writer.close()
    output = replay(log)
    assert output.startswith("0: ")
    assert "recorded with Python 3.99.1, replayed with " in output


def test_a_full_log_stops_and_the_proxy_continues(proxy: Starter, log: Path) -> None:
    running = proxy(f'{ECHO}\n[record]\nfile = "{log}"\nmax_size = "4KiB"\n')
    with running.connect("echo") as client:
        for _ in range(10):
            client.sendall(bytes(1000))
            exactly(client, 1000)
    running.wait_for(
        "recording stopped: the file has reached 4096 bytes; the proxy continues without recording"
    )
    running.stop()
    assert log.stat().st_size <= 4096
    assert replay(log).startswith("0: ")


def test_a_restart_keeps_the_recording_of_the_run_before(record: Record, log: Path) -> None:
    """A service manager may restart a crashed proxy with the same command."""
    before: list[bytes] = []
    for number in range(3):
        running = a_run(record)
        running.kill()
        running.status = 0
        if number:
            running.wait_for(f"{log} exists and is kept: recording to {log}.{number}$")
        assert [log.read_bytes(), *(Path(f"{log}.{n}").read_bytes() for n in range(1, number))][
            :number
        ] == before
        before.append(Path(f"{log}.{number}" if number else log).read_bytes())


def test_a_replay_overwrites_no_file(record: Record, log: Path) -> None:
    a_run(record).stop()
    copy = log.with_suffix(".copy")
    copy.write_text("mine")
    output = replay(log, "--record", copy)
    assert output == f"1: {copy} exists: choose another name, or overwrite it with --force\n"
    assert copy.read_text() == "mine"
    assert replay(log, "--record", copy, "--force").startswith("0: ")
    assert copy.read_bytes() == log.read_bytes()
    assert replay(log, "--record", log.parent / "none" / "copy") == (
        f"1: cannot record to {log.parent}/none/copy: No such file or directory\n"
    )


def test_a_full_disk_stops_the_log_and_the_proxy_continues(proxy: Starter) -> None:
    running = proxy(f'{ECHO}\n[record]\nfile = "/dev/full"\n')
    with running.connect("echo") as client:
        client.sendall(b"hello\n")
        exactly(client, 6)
    running.wait_for("recording stopped: no space left on device; the proxy continues")


def test_redacted_data_is_not_in_the_log(proxy: Starter, log: Path) -> None:
    running = proxy(f"{ECHO}\n[record]\nfile = \"{log}\"\nredact = ['secret \\w+']\n")
    with running.connect("echo") as client:
        client.sendall(b"the secret word\n")
        assert exactly(client, 16) == b"the secret word\n"
    running.stop()
    content = log.read_bytes()
    assert b"secret" not in content.replace(b"secret \\", b"")
    assert b"the xxxxxxxxxxx\n" in content
    digests = {getattr(entry, "digest", 0) for _, entry in RecordingLog(log).steps()}
    assert digests == {0}, "a digest of a short secret reveals it"
    assert replay(log).startswith("0: ")


def test_a_cut_has_one_client_of_a_connection_used_by_three(
    record: Record, log: Path, tmp_path: Path
) -> None:
    """http_proxy keeps a server connection and reuses it for the next client."""
    secrets = [b"anna", b"bert", b"cleo"]
    answer = b"HTTP/1.1 200 OK\r\nSet-Cookie: s=%s\r\nContent-Length: 2\r\n\r\nok"
    with Server() as server:
        running = record(web(server.uri))
        accepted: socket.socket | None = None
        for secret in secrets:
            with running.connect("in") as client:
                client.sendall(GET.replace(b"\r\n\r\n", b"\r\nCookie: s=%s\r\n\r\n" % secret))
                accepted = accepted or server.next()
                while secret not in accepted.recv(1000):
                    pass
                accepted.sendall(answer % secret)
                while not client.recv(1000).endswith(b"ok"):
                    pass
        assert accepted is not None
        accepted.close()
    running.stop()
    replays(log)
    clients = [e.vc for _, e in RecordingLog(log).steps() if isinstance(e, entries.AcceptedEntry)]
    for client_number, secret in zip(clients, secrets, strict=True):
        out = tmp_path / f"{client_number}.log"
        command = [*VCPROXY, "log", "cut", str(log), "--conversation", str(client_number)]
        subprocess.run([*command, "-o", str(out)], check=True, timeout=2 * PATIENCE_S)
        content = out.read_bytes()
        assert [each for each in secrets if each in content] == [secret]
        assert content.count(secret) == 4, "request and response, on both sides of the proxy"
        assert replay(out, "--plugin", "http_proxy").startswith("0: 1 conversation, none of them")


def test_a_file_that_is_no_log_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "log"
    file.write_text("[proxy]\nnet_threads = 1\n")
    assert replay(file) == f"1: {file}: not a log of vcproxy --record\n"
    assert replay(tmp_path / "none").startswith("1: ")
