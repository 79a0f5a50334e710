"""Serial lines of the epoll driver, with pseudo terminals, and with socat."""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
import termios
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from vcproxy.drivers.epoll.serial import CRTSCTS
from vcproxy.engine.event import Event
from vcproxy.engine.vconnection import Shutdown

from .stream_world import PATIENCE_S, StreamWorld


class Line:
    """A pseudo terminal: a serial line and the device at its other end."""

    def __init__(self) -> None:
        self.device, self._line = pty.openpty()
        self.path = os.ttyname(self._line)

    def settings(self) -> list[object]:
        return termios.tcgetattr(self._line)

    def vanish(self) -> None:
        """Close the other end, as an unplugged adapter does."""
        os.close(self.device)
        os.close(self._line)
        self.device = self._line = -1

    def close(self) -> None:
        if self.device >= 0:
            self.vanish()


@pytest.fixture
def line() -> Iterator[Line]:
    with closing(Line()) as made:
        yield made


@pytest.fixture
def world() -> Iterator[StreamWorld]:
    with closing(StreamWorld()) as made:
        yield made


def test_bytes_go_both_ways_as_they_are(world: StreamWorld, line: Line) -> None:
    talker = world.opened(f"serial:{line.path}?baud=115200")
    every = bytes(range(256)) * 2
    talker.write(every)
    os.write(line.device, every)
    world.run(lambda: talker.received == every and Event.WRITE_READY in talker.events)
    got = b""
    while len(got) < len(every):
        got += os.read(line.device, 1000)
    assert got == every


def test_the_settings_are_those_of_the_address(world: StreamWorld, line: Line) -> None:
    world.opened(f"serial:{line.path}?baud=19200&stop=2&flow=hardware")
    _, _, control, local, *speeds, _ = line.settings()
    assert isinstance(control, int)
    assert isinstance(local, int)
    assert speeds == [termios.B19200, termios.B19200]
    assert control & termios.CSIZE == termios.CS8
    assert control & termios.CSTOPB
    assert control & CRTSCTS
    assert not local & (termios.ECHO | termios.ICANON | termios.ISIG)


def test_software_flow_control(world: StreamWorld, line: Line) -> None:
    world.opened(f"serial:{line.path}?flow=software")
    entered = line.settings()[0]
    assert isinstance(entered, int)
    assert entered & termios.IXON
    assert entered & termios.IXOFF


def test_a_setting_that_the_device_ignores(world: StreamWorld, line: Line) -> None:
    talker = world.opened(f"serial:{line.path}?bits=7&parity=even")  # a pseudo terminal has none
    assert talker.error == "the device does not support bits=7, parity=even"


def test_a_line_that_vanishes(world: StreamWorld, line: Line) -> None:
    talker = world.opened(f"serial:{line.path}")
    os.write(line.device, b"last words")
    world.run(lambda: talker.received)
    line.vanish()
    world.run(lambda: talker.error)
    assert talker.error == "the serial line has gone: its device was unplugged, or has hung up"
    assert isinstance(talker.vc.error, ConnectionResetError)
    assert Event.EOS not in talker.events
    talker.close()
    world.run(lambda: not world.engine.vcs)


def test_one_connection_at_a_time(world: StreamWorld, line: Line) -> None:
    first = world.opened(f"serial:{line.path}")
    second = world.opened(f"serial:{line.path}")
    assert second.error == "the serial line is in use by another connection or process"
    first.close()
    world.run(lambda: not first.vc.port)
    assert world.opened(f"serial:{line.path}").error == ""


def test_output_that_does_not_leave_delays_a_close_for_a_limited_time(
    world: StreamWorld, line: Line
) -> None:
    talker = world.opened(f"serial:{line.path}")
    talker.write(bytes(1_000_000))  # the device reads nothing
    world.run(lambda: Event.WRITE_READY in talker.events)
    talker.close()
    world.run(lambda: not world.engine.vcs)


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("/dev/ttyNOTHING7", "no such file or directory"),
        ("/dev/null", "it is no serial line"),
        ("/etc/passwd", "it is no serial line"),
    ],
)
def test_what_is_no_line(world: StreamWorld, path: str, why: str) -> None:
    talker = world.opened(f"serial:{path}")
    assert talker.events == [Event.ERROR]
    assert talker.error == why


def test_a_line_is_not_listened_at(world: StreamWorld, line: Line) -> None:
    with pytest.raises(OSError, match="a serial line is connected to"):
        world.listener(f"serial:{line.path}")


@pytest.mark.skipif(
    shutil.which("socat") is None and not os.environ.get("CI"), reason="socat is not installed"
)
def test_with_socat(world: StreamWorld, tmp_path: Path) -> None:
    """A line between this program and a device that socat plays: it answers what it gets."""
    link = tmp_path / "line"
    with subprocess.Popen(["socat", f"pty,raw,echo=0,link={link}", "exec:cat"]) as socat:
        try:
            last = time.monotonic() + PATIENCE_S
            while not link.exists():
                assert time.monotonic() < last
                assert socat.poll() is None
            talker = world.opened(f"serial:{link}?baud=9600")
            talker.write(b"AT\r")
            world.run(lambda: talker.received == b"AT\r")
        finally:
            socat.terminate()
    world.run(lambda: talker.error)
    assert talker.error.startswith("the serial line has gone")


def test_the_end_of_writing_ends_the_connection(world: StreamWorld, line: Line) -> None:
    """A line has no end in one direction, and waiting for one could last for ever."""
    talker = world.opened(f"serial:{line.path}")
    talker.write(b"bye")
    world.run(lambda: Event.WRITE_READY in talker.events)
    with talker.mutex.hold(world.engine):
        talker.vc.do_io_shutdown(Shutdown.WRITE)
    world.run(lambda: Event.EOS in talker.events)
    assert os.read(line.device, 10) == b"bye"
