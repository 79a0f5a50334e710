"""A program with every kind of source: a child process, signals, a date, datagrams; recorded."""

from __future__ import annotations

import os
import re
import signal
from contextlib import suppress
from pathlib import Path

import pytest

from tests.e2e.conftest import Starter
from tests.e2e.running import ECHO
from tests.e2e.test_recording import Record, log, record, replay, replays
from vcproxy.testing.running import Running, eventually

__all__ = ["log", "record"]  # fixtures

PROGRAM = '''
from vcproxy.api import (
    Address,
    Arrived,
    Bound,
    ChildExited,
    ChildProcess,
    ChildStopped,
    Datagrams,
    Launch,
    Launched,
    ListenerWatch,
    OwnThread,
    Program,
    Signal,
    Signals,
    ThreadMessage,
    ThreadMessages,
    Tick,
    Ticks,
)

SHELL = "kill -STOP $$; kill -USR2 $PPID; exit 5"


def read(work, count):
    for number in range(count):
        work.post(number)
        work.wait(0.01)
    return "all read"


class Everything(Program):
    """Prints what happens at each of its sources."""

    def start(self):
        self.box = Datagrams(self, "box", ("127.0.0.1", 0))
        self.signals = Signals(self, (12,))
        self.child = ChildProcess(self, "child", Launch("/bin/sh", ("sh", "-c", SHELL)))
        self.missing = ChildProcess(self, "missing", Launch("/nowhere", ("nowhere",)))
        self.sleeper = ChildProcess(self, "sleeper", Launch("/bin/sleep", ("sleep", "60")))
        self.ticks = Ticks(self, "clock", 0.1, priority=10)
        self.messages = ThreadMessages(self, "messages", priority=200)
        self.reader = OwnThread(self, "reader", read, 3)
        self.watch = ListenerWatch(self, "watch", Address.parse("tcp://127.0.0.1:1"))
        self.engine.schedule_at_date(self.engine.wall + 2, self, "date", None)

    def handle_event(self, key, data):
        self.write(f"saw {getattr(key, '__name__', key)} {data}")
        match data:
            case Bound():
                self.box.send(b"to itself", data.address)
                self.box.disable()
            case Tick():
                if not self.box.enabled:
                    self.write("enabled the box")
                    self.box.enable()
                    self.ticks.close()
            case ThreadMessage(value=2):
                self.messages.post({"a": [1, 2.5, None]})
            case ChildStopped():
                self.child.signal(18)
            case Signal(15):
                self.sleeper.signal(15)
'''

CONF = """
[[listener]]
name = "everything"
plugin = "everything.py:Everything"
"""


@pytest.fixture(autouse=True)
def _program(tmp_path: Path) -> None:
    (tmp_path / "everything.py").write_text(PROGRAM)


def everything_happened(running: Running) -> int:
    """Wait for all events; return the pid of the process that still runs."""
    for text in (
        r"saw Bound Bound\(name='box', address=\('127.0.0.1', \d+\)\)",
        r"saw Arrived Arrived\(name='box', data=b'to itself', source=\('127.0.0.1', \d+\)",
        r"saw Launched Launched\(name='child', pid=\d+\)",
        r"saw ChildStopped ChildStopped\(name='child', signal=19\)",
        r"saw Signal Signal\(number=12, pid=0\)",
        r"saw ChildExited ChildExited\(name='child', status=5\)",
        r"saw LaunchFailed LaunchFailed\(name='missing', reason='/nowhere: no such file",
        r"saw date None",
        r"saw Tick Tick\(name='clock', missed=\d+\)",
        r"saw ThreadMessage ThreadMessage\(name='reader', value=2\)",
        r"saw ThreadDone ThreadDone\(name='reader', value='all read', error=''\)",
        r"saw ThreadMessage ThreadMessage\(name='messages', value=\{'a': \[1, 2\.5, None\]\}\)",
        r"saw NotListening NotListening\(name='watch'\)",
        r"enabled the box",
    ):
        running.wait_for(text)
    found = running.wait_for(r"saw Launched Launched\(name='sleeper', pid=(\d+)\)")
    return int(re.findall(r"name='sleeper', pid=(\d+)", found)[0])


def gone(pid: int) -> None:
    """Check that a process is gone."""
    assert not Path(f"/proc/{pid}").exists()


def test_a_recorded_run_is_replayed(record: Record, log: Path) -> None:
    running = record(CONF)
    sleeper = everything_happened(running)
    running.signal(signal.SIGTERM)
    running.wait_for(r"saw Signal Signal\(number=15, pid=\d+\)")
    assert running.log.index("enabled the box") < running.log.index("saw Arrived")
    running.wait_for(r"saw ChildKilled ChildKilled\(name='sleeper', signal=15\)")
    assert running.wait() == 0
    gone(sleeper)
    replays(log)
    assert "reason" not in replay(log, "--trace", "Everything")


def test_a_child_that_its_program_does_not_end_is_killed(proxy: Starter, tmp_path: Path) -> None:
    text = PROGRAM.replace("self.sleeper.signal(15)", "pass")
    (tmp_path / "everything.py").write_text(text)
    running = proxy('[proxy]\ndrain_timeout = "500ms"\n' + CONF)
    sleeper = everything_happened(running)
    running.signal(signal.SIGTERM)
    assert running.wait() == 0
    gone(sleeper)


def pidfds(pid: int) -> int:
    """Return how many child processes a process watches."""
    found = 0
    for each in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # it is being closed
            found += "pidfd" in os.readlink(each)
    return found


def test_a_program_that_is_removed_leaves_nothing(proxy: Starter, tmp_path: Path) -> None:
    running = proxy(CONF)
    sleeper = everything_happened(running)
    before = running.descriptors()
    assert pidfds(running.pid) == 1
    running.file.write_text(ECHO)
    running.signal(signal.SIGHUP)
    running.wait_for("reloaded")
    eventually(lambda: not Path(f"/proc/{sleeper}").exists(), "the child is gone")
    eventually(lambda: not pidfds(running.pid), "its pidfd is closed")
    # Its socket is closed, and that of the listener is open.
    eventually(lambda: running.descriptors() <= before, "its socket is closed")
    running.idle_descriptors += 1  # the listener
    running.stop()
