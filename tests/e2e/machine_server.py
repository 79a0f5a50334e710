"""MachineServer: a process of `vcproxy machine serve` with the commands of its clients."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

from tests.e2e import wire_machine
from tests.e2e.running import PATIENCE_S, VCPROXY, eventually

MACHINE = Path(wire_machine.__file__).read_text()
Done = subprocess.CompletedProcess[str]


class MachineServer:
    """A process of `vcproxy machine serve` at an address of its own, 127.x.y.z:42000."""

    def __init__(self, directory: Path, *options: str) -> None:
        self.directory = directory
        self.host = (
            f"127.{random.randrange(1, 255)}.{random.randrange(256)}.{random.randrange(1, 255)}"
        )
        self.process = subprocess.Popen(
            [*VCPROXY, "machine", "serve", str(directory), "-a", self.host, *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._lines: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        self.wait_for("^ready$")

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.append(line.rstrip("\n"))

    @property
    def log(self) -> str:
        """What it and its machines have printed."""
        return "\n".join(self._lines)

    def wait_for(self, pattern: str) -> re.Match[str]:
        """Wait for a line of the log."""
        found: list[re.Match[str]] = []

        def matched() -> bool:
            found[:] = [m for line in list(self._lines) if (m := re.search(pattern, line))]
            return bool(found)

        try:
            eventually(matched, f"the log has a line {pattern!r}")
        except AssertionError:
            raise AssertionError(f"no line {pattern!r} in:\n{self.log}") from None
        return found[0]

    def add(self, name: str, text: str = MACHINE, mode: int = 0o755) -> Path:
        """Put a program into the directory, in place of an older one."""
        file = self.directory / name
        file.parent.mkdir(exist_ok=True)
        fresh = file.with_name(f"{file.name}.new")
        fresh.write_text(f"#!{sys.executable}\n{text}" if text is not None else "")
        fresh.chmod(mode)
        fresh.replace(file)
        return file

    def run(self, command: str, *words: str) -> Done:
        """Run a command to its end."""
        return subprocess.run(
            [*VCPROXY, "machine", command, *words],
            capture_output=True,
            text=True,
            timeout=2 * PATIENCE_S,
            check=False,
        )

    def start(self, name: str, port: int = 0, *words: str) -> int:
        """Start a machine; return its port."""
        done = self.run("start", name, f"{self.host}:{port}", *words)
        assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr + self.log
        started = re.fullmatch(
            rf"> {self.host}:42000 start {name} :{port}.*\n"
            rf"127\.0\.0\.1:\d+ < {self.host}:(\d+) started {name}\n",
            done.stdout,
        )
        assert started, done.stdout
        return int(started[1])

    def refused(self, name: str) -> str:
        """Start a machine that cannot be started; return the reason."""
        done = self.run("start", name, f"{self.host}:0")
        assert done.returncode == 255
        _, found, reason = done.stdout.partition(f"{self.host}:42000 errored {name} ")
        assert found, done.stdout + done.stderr
        return reason.rstrip("\n")

    def list(self) -> dict[int, tuple[int, str]]:
        """Return pid and name of each listed machine, by port."""
        done = self.run("list", "--plain", self.host)
        assert (done.returncode, done.stderr) == (0, "")
        head, *lines = done.stdout.splitlines()
        assert head == "Port,PID,Machine"
        rows = [line.split(",") for line in lines]
        assert [int(port) for port, _, _ in rows] == sorted(int(port) for port, _, _ in rows)
        return {int(port): (int(pid), name) for port, pid, name in rows}

    def registered(self, count: int) -> dict[int, tuple[int, str]]:
        """Wait until so many machines are listed: one that has started registers soon after."""
        listed: dict[int, tuple[int, str]] = {}

        def reached() -> bool:
            listed.clear()
            listed.update(self.list())
            return len(listed) == count

        eventually(reached, f"{count} machines are listed")
        return listed

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End it with a signal; return its exit status."""
        self.process.send_signal(number)
        status = self.process.wait(2 * PATIENCE_S)
        self.close()
        return status

    def close(self) -> None:
        """End it in any case."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(2 * PATIENCE_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if self.process.returncode != 0:  # its machines may have been left
            for pid in map(int, re.findall(r"Forked: (\d+)", self.log)):
                if str(self.directory) in _command_line(pid):
                    os.kill(pid, signal.SIGKILL)
        self._reader.join()
        assert self.process.stdout is not None
        self.process.stdout.close()


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except FileNotFoundError:
        return ""
