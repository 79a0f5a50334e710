"""`vcproxy top`, asking a running proxy, in a pseudo-terminal and without one."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import struct
import subprocess
import termios
from pathlib import Path
from time import monotonic

from tests.e2e.conftest import Starter
from tests.e2e.running import ECHO, PATIENCE_S, VCPROXY, Running
from tests.e2e.several import two_workers


def top(running: Running, *options: str) -> subprocess.CompletedProcess[str]:
    """Run it to its end."""
    return subprocess.run(
        [*VCPROXY, "top", "--pid", str(running.pid), *options],
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE_S,
        check=False,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "COLUMNS": "80", "PYTHONIOENCODING": "utf-8"},
    )


class Screen:
    """It runs in a pseudo-terminal of 80 columns and 24 lines."""

    def __init__(self, running: Running) -> None:
        self._primary, terminal = pty.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.process = subprocess.Popen(
            [*VCPROXY, "top", "--pid", str(running.pid), "--interval", "200ms"],
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            env={**os.environ, "TERM": "xterm", "PYTHONIOENCODING": "utf-8"},
        )
        os.close(terminal)
        self.seen = ""

    def wait_for(self, pattern: str) -> None:
        """Read what it writes until a pattern is found in it."""
        end = monotonic() + PATIENCE_S
        data = b""
        while not re.search(pattern, data.decode("utf-8", "replace")):
            assert monotonic() < end, data[-2000:]
            if select.select([self._primary], [], [], 0.1)[0]:
                try:
                    data += os.read(self._primary, 1 << 16)
                except OSError:  # EIO: it has ended
                    assert re.search(pattern, data.decode("utf-8", "replace")), data[-2000:]
        self.seen += data.decode("utf-8", "replace")

    def press(self, keys: str) -> None:
        os.write(self._primary, keys.encode())

    def close(self) -> int:
        """Wait for its end, and return the status."""
        status = self.process.wait(PATIENCE_S)
        os.close(self._primary)
        return status


def test_one_screen(proxy: Starter) -> None:
    done = top(proxy(ECHO), "--once", "--interval", "100ms")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"^○ echo +echo +listener +0 B/s", done.stdout, re.MULTILINE)


def test_figures_for_programs(proxy: Starter) -> None:
    running = proxy(ECHO)
    with running.connect("echo") as client:
        client.sendall(b"ping\n")
        assert client.recv(100) == b"ping\n"
        done = top(running, "--once", "--json", "--interval", "100ms")
    drawn = json.loads(done.stdout)
    assert drawn["process"]["note"].endswith(f"process {running.pid}")
    assert [each["id"] for each in drawn["nodes"]] == ["listener echo", "plugin echo"]
    assert ["accepted in all", 1, ""] in drawn["nodes"][0]["facts"]


def test_without_a_terminal(proxy: Starter) -> None:
    done = top(proxy(ECHO))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "there is no terminal here: --once prints one screen, --json prints the figures\n"
    )


def test_it_follows_the_proxy_until_q(proxy: Starter) -> None:
    screen = Screen(proxy(ECHO))
    screen.wait_for(r"all, by rate")
    screen.press("s")
    screen.wait_for(r"all, by state")
    screen.press("\x1b[C")
    screen.wait_for(r"listeners, by state")
    screen.press("q")
    screen.wait_for(r"\x1b\[\?1049l")  # the screen as it was before
    assert screen.close() == 0
    assert "Traceback" not in screen.seen


def test_the_end_of_the_proxy_ends_it(proxy: Starter) -> None:
    running = proxy(ECHO)
    screen = Screen(running)
    screen.wait_for(r"all, by rate")
    running.stop()
    screen.wait_for(rf"{running.pid}\.ctl\.sock: (no such file|connection refused)")
    assert screen.close() == 3


def test_the_figures_are_of_all_workers(proxy: Starter, tmp_path: Path) -> None:
    running = proxy(two_workers(tmp_path))
    drawn = json.loads(top(running, "--once", "--json", "--interval", "100ms").stdout)
    assert ["workers", 2, ""] in drawn["process"]["figures"]
    assert drawn["problems"] == []
