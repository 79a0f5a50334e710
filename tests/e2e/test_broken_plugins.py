"""Plugins with a programming error: their connection is closed, and all others continue."""

from __future__ import annotations

import socket
from pathlib import Path
from signal import SIGHUP

import pytest

from tests.e2e.conftest import Starter
from tests.e2e.running import ECHO, all_of, eventually, exactly

PLUGIN = """
import asyncio
import sys
import time

from vcproxy.tunnels.done import TunnelDone
from vcproxy.tunnels.one_way import OneWayTunnel
from vcproxy.sessions.session import Session
from vcproxy.engine.event import Event
from vcproxy.machine.state import State


class Broken(Session):
    needs_upstream = False

    READING = State(initial=True)
    ECHOING = State()
    DONE = State(final=True)

    def __init__(self, client, service):
        super().__init__(client, service)
        {constructor}

    @READING.enter
    def reading(self):
        self.buffer = self.engine.buffer()
        self.reader = self.buffer.reader()
        self.client.do_io_read(self, None, self.buffer)
        {enter}

    @READING.on(Event.READ_READY, to=(ECHOING, DONE))
    def read(self, vio):
        word = self.reader.read(2)
        if word == b"1/":
            return 1 / 0
        if word == b"sl":
            time.sleep(0.5)
            self.log("awake")
        if word == b"sy":
            sys.exit("goodbye")
        if word == b"ca":
            raise asyncio.CancelledError
        if word == b"ke":
            raise KeyboardInterrupt
        if word == b"ge":
            raise GeneratorExit
        if word == b"go":
            return self.ECHOING
        if word == b"as":
            return self.READING
        if word == b"un":
            self.engine.schedule(self, "SURPRISE", None)
        return None

    @READING.on(Event.EOS, to=DONE)
    def left(self, vio):
        pass

    @ECHOING.enter
    def echoing(self):
        OneWayTunnel(self, self.client, self.client, reader=self.reader, watch=False).start()

    @ECHOING.on(TunnelDone, to=DONE)
    def echoed(self, done):
        {done}
"""


def broken(
    directory: Path, constructor: str = "pass", enter: str = "pass", done: str = "pass"
) -> str:
    """A configuration with the plugin, and a listener that works."""
    text = PLUGIN.format(constructor=constructor, enter=enter, done=done)
    (directory / "broken.py").write_text(text)
    return ECHO + (
        '[[listener]]\nname = "broken"\nbind = "tcp://127.0.0.1:0"\nplugin = "broken.py:Broken"\n'
    )


def reset_by_peer(client: socket.socket) -> bool:
    """Whether a connection ends with a reset and without data."""
    with pytest.raises(ConnectionResetError):
        assert client.recv(100) == b"a reset"
    return True


def ended_by_reset(client: socket.socket) -> bool:
    """Whether a connection ends with a reset."""
    with pytest.raises(ConnectionResetError):
        all_of(client)
    return True


@pytest.mark.parametrize(
    ("word", "mistake"),
    [
        (b"1/0", "ZeroDivisionError: division by zero"),
        (b"astray", "READING.*declares ECHOING, DONE"),
        (b"unknown", "SURPRISE"),
        (b"sys.exit", "SystemExit: goodbye"),
        (b"cancelled", "CancelledError"),
        (b"keyboard", "KeyboardInterrupt"),
        (b"generator", "GeneratorExit"),
    ],
    ids=[
        "it raises",
        "it returns a target that is not declared",
        "it meets an unknown event",
        "it exits",
        "it is cancelled",
        "it is interrupted",
        "it leaves a generator",
    ],
)
def test_an_exception_in_a_receiver_closes_only_its_connection(
    proxy: Starter, tmp_path: Path, word: bytes, mistake: str
) -> None:
    running = proxy(broken(tmp_path))
    running.expected_tracebacks = 2
    with running.connect("broken") as good:
        for _ in range(2):
            with running.connect("broken") as bad:
                bad.sendall(word)
                assert reset_by_peer(bad)
                name = f"broken 127.0.0.1:{bad.getsockname()[1]}"
            running.wait_for(f"ERROR Broken <{name} @ READING> failed; its conversation is closed")
            running.wait_for(rf"^    {name} @ READING got 'READ_READY' from ")  # the history
        running.wait_for(mistake, 2)
        good.sendall(b"go")
        with running.connect("echo") as other:
            for client in (good, other):
                client.sendall(b"unharmed")
                exactly(client, 8)


def test_the_traceback_names_the_authors_line(proxy: Starter, tmp_path: Path) -> None:
    running = proxy(broken(tmp_path))
    running.expected_tracebacks = 1
    with running.connect("broken") as bad:
        bad.sendall(b"1/0")
        assert reset_by_peer(bad)
    running.wait_for(rf'File "{tmp_path}/broken.py", line \d+, in read')


@pytest.mark.parametrize("where", ["constructor", "enter"])
def test_an_exception_at_the_start_resets_the_client(
    proxy: Starter, tmp_path: Path, where: str
) -> None:
    running = proxy(broken(tmp_path, **{where: 'raise LookupError("not today")'}))
    running.expected_tracebacks = 20
    for _ in range(20):
        with pytest.raises(ConnectionResetError), running.connect("broken") as client:
            assert client.recv(100) == b"a reset"
    running.wait_for("LookupError: not today", 20)
    with running.connect("echo") as client:
        client.sendall(b"unharmed")
        assert exactly(client, 8) == b"unharmed"


def test_an_exception_at_the_end_closes_too(proxy: Starter, tmp_path: Path) -> None:
    running = proxy(broken(tmp_path, done='raise LookupError("too late")'))
    running.expected_tracebacks = 1
    with running.connect("broken") as client:
        client.sendall(b"go")
        client.shutdown(socket.SHUT_WR)
        try:
            all_of(client)
        except ConnectionResetError:
            pass
    running.wait_for("LookupError: too late")


def test_a_blocking_callback_is_logged_and_its_connection_closed(
    proxy: Starter, tmp_path: Path
) -> None:
    running = proxy(broken(tmp_path))
    with running.connect("broken") as good, running.connect("broken") as bad:
        bad.sendall(b"sleep")
        name = f"Broken <broken 127.0.0.1:{bad.getsockname()[1]} @ READING>"
        running.wait_for(f"ERROR {name} has blocked net-0 for 250ms; its conversation is closed")
        running.wait_for(rf'^ +File "{tmp_path}/broken.py", line \d+, in read$')
        running.wait_for("time.sleep")
        running.wait_for(f"ERROR {name} failed; its conversation is closed")
        running.wait_for(r"TimeoutError: its callback blocked net-0 for \d\.\d+ s")
        running.wait_for("READING got 'READ_READY' from ")
        assert ended_by_reset(bad)
        good.sendall(b"go")
        good.sendall(b"unharmed")
        assert exactly(good, 8) == b"unharmed"
        running.wait_for(r"WARNING net-0: lag: events were handled up to \d\.\d+ s late")
    assert running.log.count("has blocked") == 1


def test_a_blocking_constructor_is_detected_too(proxy: Starter, tmp_path: Path) -> None:
    running = proxy(broken(tmp_path, constructor="time.sleep(0.5)"))
    with running.connect("broken") as bad, running.connect("echo") as other:
        running.wait_for(r"<NetVConnection broken 127.0.0.1:\d+> has blocked net-0 for 250ms")
        running.wait_for(rf'^ +File "{tmp_path}/broken.py", line \d+, in __init__$')
        assert ended_by_reset(bad)
        other.sendall(b"unharmed")
        assert exactly(other, 8) == b"unharmed"


def test_the_watchdog_can_be_switched_off(proxy: Starter, tmp_path: Path) -> None:
    running = proxy('[proxy]\nslow_callback = "0s"\n' + broken(tmp_path))
    with running.connect("broken") as slow:
        slow.sendall(b"sl")
        running.wait_for("awake")
        slow.sendall(b"go")
        slow.sendall(b"well slept")
        assert exactly(slow, 10)
    assert "blocked" not in running.log
    assert "lags" not in running.log


def test_clients_of_a_broken_plugin_leave_nothing_open(proxy: Starter, tmp_path: Path) -> None:
    running = proxy(broken(tmp_path))
    running.expected_tracebacks = 50
    for _ in range(50):
        with running.connect("broken") as client:
            client.sendall(b"1/0")
        running.connect("broken").close()
    eventually(lambda: running.log.count("ZeroDivisionError") == 50, "all exceptions are logged")


def test_a_plugin_that_cannot_be_loaded_prevents_the_start(proxy: Starter, tmp_path: Path) -> None:
    """A reload with such a plugin changes nothing."""
    running = proxy(ECHO)
    running.file.write_text(broken(tmp_path, enter="pass\n    oh dear"))
    running.signal(SIGHUP)
    running.wait_for("not reloaded; the previous configuration stays in use")
    running.wait_for(r"proxy-0.toml:\d+:\d+: listener.*broken.py.*SyntaxError|invalid syntax")
    with running.connect("echo") as client:
        client.sendall(b"unharmed")
        assert exactly(client, 8) == b"unharmed"
