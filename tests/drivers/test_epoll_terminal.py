"""The terminal of a process: a proxy and a program that are started on a pseudo terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import subprocess
import sys
import termios
import time
from contextlib import closing
from pathlib import Path

import pytest

from vcproxy.drivers.epoll.stdio import IN_USE, standard
from vcproxy.engine.address import Address

from .stream_world import PATIENCE_S, StreamWorld

PROGRAM = """
import os, signal, sys
signal.signal(signal.SIGHUP, signal.SIG_IGN)
sys.path.insert(0, {root!r})
from tests.drivers.stream_world import StreamWorld
from vcproxy.engine.event import Event
world = StreamWorld()
talker = world.opened({uri!r})
if talker.error:
    print("refused:", talker.error)
else:
    talker.write(b"ready\\n")
    world.run(lambda: talker.received.endswith((b"!", b"!\\n")) or Event.EOS in talker.events
              or talker.error)
    talker.write(b"got " + repr(bytes(talker.received)).encode() + b" " + talker.error.encode()
                 + b"\\n")
    second = world.opened({uri!r})
    print("second:", second.error, "first:", talker.error, file=sys.stderr)
    world.run(lambda: talker.error or talker.outgoing.avail == 0)
    talker.close()
    world.run(lambda: not talker.vc.port)
world.close()
"""

ROOT = Path(__file__).parents[2]


class Terminal:
    """A pseudo terminal with a process on it, in the foreground or in the background."""

    def __init__(
        self, uri: str, tmp_path: Path, *, background: bool = False, conf: Path | None = None
    ) -> None:
        """Start a program that connects to `uri`; `conf`: a proxy instead."""
        self.screen, line = pty.openpty()
        self.line = line
        self.errors = tmp_path / "errors"
        program = PROGRAM.format(root=str(ROOT), uri=uri)

        def take_terminal() -> None:  # in the child, before it executes the program
            os.setsid()
            fcntl.ioctl(line, termios.TIOCSCTTY, 0)

        command = [sys.executable, "-c", program]
        if conf is not None:
            command = [sys.executable, "-m", "vcproxy", "-c", str(conf)]
        if background:  # a shell with job control starts it in a group of its own
            command = ["/bin/sh", "-mc", '"$@" & wait', "sh", *command]
        with self.errors.open("wb") as errors:
            self.process = subprocess.Popen(
                command,
                stdin=line,
                stdout=line,
                stderr=errors,
                preexec_fn=take_terminal,
                cwd=ROOT,
            )
        self.shown = b""

    def type(self, keys: bytes) -> None:
        os.write(self.screen, keys)

    def run(self, until: bytes) -> None:
        """Read the screen until it shows a text."""
        last = time.monotonic() + PATIENCE_S
        while until not in self.shown:
            assert time.monotonic() < last, f"{self.shown!r}; {self.errors.read_text()}"
            if select.select([self.screen], [], [], 0.1)[0]:
                self.shown += os.read(self.screen, 1000)

    def wait(self) -> None:
        self.process.wait(PATIENCE_S)

    def hang_up(self) -> None:
        os.close(self.screen)
        os.close(self.line)
        self.screen = self.line = -1

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self.screen >= 0:
            self.hang_up()


def test_lines_are_edited_and_echoed(tmp_path: Path) -> None:
    with closing(Terminal("terminal:", tmp_path)) as terminal:
        terminal.run(b"ready")
        terminal.type(b"helo\x7flo!\n")  # DEL removes a character
        terminal.run(b"got b'hello!\\n'")
        terminal.wait()
        assert b"helo" in terminal.shown  # the echo
        assert "second: the terminal is in use already by this process" in (
            terminal.errors.read_text()
        )


def test_an_end_of_input_is_orderly(tmp_path: Path) -> None:
    with closing(Terminal("terminal:", tmp_path)) as terminal:
        terminal.run(b"ready")
        terminal.type(b"hello\nthere\n\x04")  # each line, and the end, is a read of its own
        terminal.run(b"got b'hello\\nthere\\n' \r\n")
        terminal.wait()


def test_raw_keys_and_the_modes_afterwards(tmp_path: Path) -> None:
    with closing(Terminal("terminal:?raw=true", tmp_path)) as terminal:
        before = termios.tcgetattr(terminal.line)
        terminal.run(b"ready")
        terminal.type(b"\x03\x7f!")  # ^C, DEL
        terminal.run(b"got b'\\x03\\x7f!'")
        terminal.wait()
        assert b"\x03" not in terminal.shown
        assert termios.tcgetattr(terminal.line) == before


def test_a_hangup(tmp_path: Path) -> None:
    with closing(Terminal("terminal:", tmp_path)) as terminal:
        terminal.run(b"ready")
        terminal.hang_up()
        terminal.wait()
        assert "first: the terminal has hung up" in terminal.errors.read_text()


def test_a_process_in_the_background(tmp_path: Path) -> None:
    with closing(Terminal("terminal:", tmp_path, background=True)) as terminal:
        terminal.run(b"refused: this process is in the background of its terminal: use fg")
        terminal.wait()


def test_a_process_without_a_terminal(tmp_path: Path) -> None:
    program = PROGRAM.format(root=str(ROOT), uri="terminal:")
    done = subprocess.run(
        [sys.executable, "-c", program],
        start_new_session=True,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.stdout == (
        "refused: this process has no terminal: start it from one, and not as a service\n"
    )


def test_a_program_that_connects_to_standard_input() -> None:
    program = PROGRAM.format(root=str(ROOT), uri="stdio:")
    done = subprocess.run(
        [sys.executable, "-c", program],
        input=b"hello!",
        capture_output=True,
        timeout=PATIENCE_S,
    )
    assert done.stdout == b"ready\ngot b'hello!' \n"
    assert b"second: standard input and output are in use already by this process" in done.stderr


def test_what_is_in_use_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vcproxy.drivers.epoll.stdio.IN_USE", {"terminal", *IN_USE})
    with (
        closing(StreamWorld()) as world,
        pytest.raises(OSError, match="the terminal is in use already"),
    ):
        standard(world.driver, Address.parse("terminal:"))


def test_a_proxy_at_its_terminal(tmp_path: Path) -> None:
    """It listens there for one connection, and ends with it."""
    conf = tmp_path / "proxy.toml"
    conf.write_text('[[listener]]\nname = "in"\nbind = "terminal:"\nplugin = "echo"\n')
    with closing(Terminal("", tmp_path, conf=conf)) as terminal:
        terminal.type(b"hello\n")
        terminal.run(b"hello\r\nhello\r\n")  # the echo of the terminal, and that of the plugin
        terminal.type(b"\x04")
        terminal.wait()
        assert terminal.process.returncode == 0, terminal.errors.read_text()
