"""Unix messages, FIFOs, serial lines, terminals, standard input and pipes in a running proxy."""

from __future__ import annotations

import os
import pty
import signal
import socket
import stat
import subprocess
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.e2e.conftest import Starter, Tools
from tests.e2e.running import PATIENCE_S, VCPROXY, Server, all_of, connect, exactly, forward
from tests.e2e.test_recording import Record, log, record, replay, replays
from vcproxy.testing.running import eventually

__all__ = ["log", "record"]  # fixtures

ECHO = '[[listener]]\nname = "in"\nbind = "{bind}"\nplugin = "echo"\n'


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


class TestUnixSockets:
    def test_a_mode_and_its_reload(self, proxy: Starter, tmp_path: Path) -> None:
        running = proxy(ECHO.format(bind="unix:in.sock?mode=0600"))
        path = tmp_path / "in.sock"
        assert running.uri("in") == f"unix:{path}"
        assert mode(path) == 0o600
        inode = path.stat().st_ino
        running.file.write_text(ECHO.format(bind="unix:in.sock?mode=0666"))
        running.signal(signal.SIGHUP)
        running.wait_for("reloaded")
        assert (mode(path), path.stat().st_ino) == (0o666, inode)
        with connect(f"unix:{path}") as client:
            client.sendall(b"hello")
            assert exactly(client, 5) == b"hello"

    def test_a_mode_with_several_workers(self, proxy: Starter, tmp_path: Path) -> None:
        workers = "[proxy]\nworkers = 2\n"
        running = proxy(workers + ECHO.format(bind="unix:in.sock?mode=0600"))
        path = tmp_path / "in.sock"
        assert mode(path) == 0o600
        running.file.write_text(workers + ECHO.format(bind="unix:in.sock?mode=0640"))
        running.signal(signal.SIGHUP)
        running.wait_for("reloaded")
        eventually(lambda: mode(path) == 0o640, "the new mode")

    def test_packets(self, proxy: Starter, tmp_path: Path) -> None:
        proxy(ECHO.format(bind="unixpacket:in.sock"))
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
            client.settimeout(PATIENCE_S)
            client.connect(str(tmp_path / "in.sock"))
            for word in (b"one", b"two two", bytes(65_536)):
                client.send(word)
                assert client.recv(100_000) == word
            client.shutdown(socket.SHUT_WR)
            assert client.recv(100) == b""

    def test_packets_in_several_workers(self, proxy: Starter, tmp_path: Path) -> None:
        proxy("[proxy]\nworkers = 2\n" + ECHO.format(bind="unixpacket:in.sock"))
        for _ in range(4):
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
                client.settimeout(PATIENCE_S)
                client.connect(str(tmp_path / "in.sock"))
                client.send(b"hello")
                assert client.recv(100) == b"hello"

    def test_datagrams(self, proxy: Starter, tools: Tools, tmp_path: Path) -> None:
        proxy(ECHO.format(bind="unixgram:in.sock"))
        path = tmp_path / "in.sock"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
            client.settimeout(PATIENCE_S)
            client.bind(str(tmp_path / "client.sock"))
            for word in (b"one", b"", b"two two"):
                client.sendto(word, str(path))
                assert client.recv(100) == word
        answer = tools.run(
            "socat", "-t", "9", "-",
            f"UNIX-SENDTO:{path},bind={tmp_path}/other.sock,null-eof", stdin=b"socat",
        )  # fmt: skip
        assert answer == b"socat"

    def test_datagrams_to_a_server(self, proxy: Starter, tmp_path: Path) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
            server.settimeout(PATIENCE_S)
            server.bind(str(tmp_path / "server.sock"))
            short = 'timeouts = { inactivity = "500ms" }'
            proxy(forward("unixgram:server.sock", bind="unixgram:in.sock", listener=short))
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
                client.settimeout(PATIENCE_S)
                client.bind(str(tmp_path / "client.sock"))
                client.sendto(b"question", str(tmp_path / "in.sock"))
                question, sender = server.recvfrom(100)
                server.sendto(b"answer", sender)
                assert (question, client.recv(100)) == (b"question", b"answer")


class TestFifo:
    def test_what_is_written_goes_to_a_server(self, proxy: Starter, tmp_path: Path) -> None:
        with Server() as server:
            proxy(forward(server.uri, bind="fifo:in.fifo?mode=0622"))
            path = tmp_path / "in.fifo"
            assert mode(path) == 0o622
            for word in (b"one\n", b"two\n"):
                path.write_bytes(word)
                with server.next() as accepted:
                    assert all_of(accepted) == word

    def test_a_client_writes_to_a_fifo(self, proxy: Starter, tmp_path: Path) -> None:
        path = tmp_path / "out.fifo"
        os.mkfifo(path)
        reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        running = proxy(forward("fifo:out.fifo"))
        with running.connect("in") as client:
            client.sendall(b"hello")
            client.shutdown(socket.SHUT_WR)
            assert all_of(client) == b""
        os.set_blocking(reader, True)
        assert os.read(reader, 100) == b"hello"
        os.close(reader)

    def test_without_a_reader(self, proxy: Starter, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "out.fifo")
        running = proxy(forward("fifo:out.fifo"))
        with running.connect("in") as client:
            running.wait_for("no process has the FIFO open for reading")
            client.close()

    def test_a_relay_from_one(self, proxy: Starter, tmp_path: Path) -> None:
        path = tmp_path / "in.fifo"
        os.mkfifo(path)
        with Server() as server:
            proxy(
                '[[listener]]\nname = "hub"\nplugin = "relay"\n[listener.options]\n'
                f'source = "fifo:in.fifo"\nframing = "lines"\ntargets = ["{server.uri}"]\n'
            )
            with server.next() as accepted:
                for word in (b"one\n", b"two\n"):
                    path.write_bytes(word)
                    assert exactly(accepted, len(word)) == word

    def test_with_several_workers_one_reads(self, proxy: Starter, tmp_path: Path) -> None:
        with Server() as server:
            running = proxy("[proxy]\nworkers = 2\n" + forward(server.uri, bind="fifo:in.fifo"))
            running.wait_for("in: runs in worker 1 only: two readers of a FIFO")
            path = tmp_path / "in.fifo"
            eventually(path.exists, "worker 1 has made the FIFO")
            for word in (b"one\n", b"two\n"):
                path.write_bytes(word)
                with server.next() as accepted:
                    assert all_of(accepted) == word


@contextmanager
def serial_line() -> Iterator[tuple[int, str]]:
    """A pseudo terminal: the device's end, and the path of the line."""
    device, line = pty.openpty()
    tty.setraw(line)
    try:
        yield device, os.ttyname(line)
    finally:
        for fd in (device, line):
            if fd >= 0:
                os.close(fd)


class TestSerial:
    def test_a_client_of_a_serial_line(self, proxy: Starter) -> None:
        with serial_line() as (device, path):
            running = proxy(forward(f"serial:{path}?baud=115200"))
            with running.connect("in") as client:
                client.sendall(b"AT\r")
                assert os.read(device, 100) == b"AT\r"
                os.write(device, b"OK\r\n")
                assert exactly(client, 4) == b"OK\r\n"

    def test_the_next_client_waits_for_the_line(self, proxy: Starter) -> None:
        with serial_line() as (device, path):
            running = proxy(forward(f"serial:{path}", upstream="max_connections = 1"))
            with running.connect("in") as first, running.connect("in") as second:
                first.sendall(b"first")
                assert os.read(device, 100) == b"first"
                second.sendall(b"second")
                first.close()  # a line has no end in one direction: this ends the connection
                assert os.read(device, 100) == b"second"

    def test_with_socat(self, proxy: Starter, tools: Tools, tmp_path: Path) -> None:
        link = tmp_path / "line"
        socat = tools.start("socat", f"pty,raw,echo=0,link={link}", "exec:cat")
        eventually(link.exists, "socat has made the line")
        running = proxy(forward("serial:line?baud=9600"))
        with running.connect("in") as client:
            client.sendall(b"to cat and back")
            assert exactly(client, 15) == b"to cat and back"
            socat.terminate()
            running.wait_for("the serial line has gone: its device was unplugged, or has hung up")


PROGRAM = '''
from vcproxy.api import (
    PIPE, Address, ChildProcess, Event, Launch, Program, UnixArrived, UnixBound,
    UnixDatagrams,
)


class Streams(Program):
    """Writes to each kind of stream, and prints what comes back."""

    datagrams = True

    def start(self):
        self.names = {{}}
        self.readers = {{}}
        launch = Launch("/bin/sh", ("sh", "-c", "cat; echo done >&2"), stdin=PIPE, stdout=PIPE,
                        stderr=PIPE)
        child = ChildProcess(self, "cat", launch)
        for name, vc in (("stdin", child.stdin), ("stdout", child.stdout),
                         ("stderr", child.stderr)):
            self.names[vc] = name
        self.box = UnixDatagrams(self, "box", Address.parse("unixgram:{here}/box?mode=0600"))
        for name, uri in (("line", "serial:{line}"), ("fifo", "fifo:{here}/fifo"),
                          ("none", "fifo:{here}/none"), ("packets", "unixpacket:{here}/packets")):
            self.names[self.engine.connect(self, Address.parse(uri))] = name

    def handle_event(self, key, data):
        match key, data:
            case Event.ACCEPT, vc:
                self.names[vc] = "accepted"
                self.read(vc)
            case Event.CONNECTED, vc:
                name = self.names[vc]
                self.write(f"connected {{name}}")
                if name not in ("stdout", "stderr"):
                    out = self.engine.buffer(message_oriented=vc.message_oriented)
                    vc.do_io_write(self, None, out.reader())
                    out.write(b"hello " + name.encode())
                    vc.write_vio.reenable()
                    if name == "stdin":
                        self.stdin = vc
                if name not in ("stdin", "fifo"):
                    self.read(vc)
            case Event.ERROR, vc if vc in self.names:
                self.write(f"error {{self.names[vc]}}: {{vc.error}}")
            case Event.READ_READY, vio:
                self.write(f"read {{self.names[vio.vc]}}: {{self.take(vio.vc)}}")
                vio.reenable()
                if self.names[vio.vc] == "stdout":
                    self.stdin.do_io_close()
            case Event.EOS, vio:
                self.write(f"end of {{self.names[vio.vc]}}: {{self.take(vio.vc)}}")
            case Event.ERROR, vio:
                if vio.reads:
                    self.write(f"lost {{self.names[vio.vc]}}: {{vio.vc.error}}")
            case kind, UnixBound():
                self.box.send(b"to itself", data.path)
            case kind, UnixArrived():
                self.write(f"arrived {{data.data}}")

    def read(self, vc):
        buffer = self.engine.buffer(message_oriented=vc.message_oriented)
        self.readers[vc] = buffer.reader()
        vc.do_io_read(self, None, buffer)

    def take(self, vc):
        return bytes(self.readers[vc].read())
'''

STREAMS = """
[[listener]]
name = "streams"
bind = "unixpacket:packets"
plugin = "streams.py:Streams"
"""


def test_a_recorded_program_with_streams_is_replayed(
    record: Record, log: Path, tmp_path: Path
) -> None:
    for name in ("fifo", "none"):
        os.mkfifo(tmp_path / name)
    reader = os.open(tmp_path / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    with serial_line() as (device, line):
        (tmp_path / "streams.py").write_text(PROGRAM.format(here=tmp_path, line=line))
        running = record(STREAMS)
        for text in (
            "error none: no process has the FIFO open for reading",
            "arrived b'to itself'",
            "read accepted: b'hello packets'",
            "connected fifo",
            "connected line",
            "read stdout: b'hello stdin'",
            "end of stdout: b''",
            "end of stderr: b'",
        ):
            running.wait_for(text)
        assert os.read(device, 100) == b"hello line"
        os.write(device, b"from the device")
        running.wait_for("read line: b'from the device'")
        assert os.read(reader, 100) == b"hello fifo"
        os.close(reader)
    running.wait_for("lost line: the serial line has gone")
    running.signal(signal.SIGTERM)
    assert running.wait() == 0
    replays(log)
    today = tmp_path / "today.py"
    today.write_text((tmp_path / "streams.py").read_text())
    assert replay(log, "--plugin", today) == "0: 1 conversation, none of them differs\n"


def test_a_program_on_standard_input(tmp_path: Path) -> None:
    (tmp_path / "shout.py").write_text(
        "from vcproxy.api import Address, Event, Program, stop_proxy\n\n\n"
        "class Shout(Program):\n"
        "    def start(self):\n"
        '        self.engine.connect(self, Address.parse("stdio:"))\n\n'
        "    def handle_event(self, key, data):\n"
        "        match key:\n"
        "            case Event.CONNECTED:\n"
        "                self.vc, buffer = data, self.engine.buffer()\n"
        "                self.reader = buffer.reader()\n"
        "                data.do_io_read(self, None, buffer)\n"
        "            case Event.EOS:\n"
        "                out = self.engine.buffer()\n"
        "                text = self.reader.read().upper()\n"
        "                self.vc.do_io_write(self, len(text), out.reader())\n"
        "                out.write(text)\n"
        "            case Event.WRITE_COMPLETE:\n"
        "                stop_proxy(self.engine)\n"
    )
    file = tmp_path / "shout.toml"
    file.write_text('[[listener]]\nname = "shout"\nplugin = "shout.py"\n')
    done = subprocess.run(
        [*VCPROXY, "-c", str(file)], input=b"hello", capture_output=True, timeout=2 * PATIENCE_S
    )
    assert (done.returncode, done.stdout) == (0, b"HELLO"), done.stderr
