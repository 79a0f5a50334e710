"""A proxy under comparison: how it is configured, started and stopped.

A peer is data. In its texts `$listen` and `$server` are ports (consumers of a fan connect to
`$server`), `$config` is the file with its configuration, `$scratch` a directory of its own, and
`$cli` the module of vcproxy's command line in the peer's revision.
"""

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from string import Template
from threading import Timer

from .revision import command_module, tree

LOOPBACK = "127.0.0.1"
START_S = 30.0  # on a machine that is busy with other tests too
LISTEN = "0A"  # the state as /proc/net/tcp writes it
PATH = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin"))


class Failed(Exception):
    """A measurement that could not be made, and why."""


@dataclass(frozen=True, slots=True)
class Peer:
    name: str
    command: tuple[str, ...]
    config: str = ""
    version: tuple[str, ...] = ()
    """The command that prints its version."""
    needs: str = ""
    """The Python module that it requires."""
    only: tuple[str, ...] = ()
    """The workloads that it is measured with; empty: all except those of single plugins."""
    most_tunnels: int = sys.maxsize
    one_port: bool = False
    """Whether the consumers of its fan connect to the same port as the producer."""
    revision: str = ""
    """The revision of this repository that it is run from; empty: this tree."""

    def missing(self) -> str:
        """Return why the peer cannot run here; empty if it can."""
        try:
            tree(self.revision)
        except LookupError as error:
            return str(error)
        # a script needs the program whose version it prints
        for program in (self.command[0], self.version[0]):
            if not shutil.which(program, path=PATH):
                return f"{program} is not installed"
        if self.needs and not importable(self.needs):
            return f"the Python module {self.needs} is not installed"
        return ""

    def version_line(self) -> str:
        folder = tree(self.revision)
        done = subprocess.run(
            [word.replace("$cli", command_module(folder)) for word in self.version],
            capture_output=True,
            text=True,
            timeout=START_S,
            check=False,
            cwd=folder,
            env={**os.environ, "PATH": PATH},
        )
        lines = (done.stdout + done.stderr).splitlines()
        version = next((line for line in lines if "version" in line.lower()), "".join(lines[:1]))
        return f"{version} at {self.revision}" if self.revision else version

    def described(self) -> str:
        """Return the command and the configuration of this proxy as text."""
        if self.revision:
            return f"{self.name}: as vcproxy's"
        shown = " ".join("python" if word == sys.executable else word for word in self.command)
        return "\n".join((f"{self.name}: {shown}", *(f"    {x}" for x in self.config.splitlines())))


def importable(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def command_line(peer: Peer, scratch: Path, listen: int, server: int) -> list[str]:
    """Write the configuration; return the command that uses it."""
    config = scratch / "config"
    values: Mapping[str, object] = {
        "listen": listen,
        "server": server,
        "config": config,
        "scratch": scratch,
        "cli": command_module(tree(peer.revision)),
    }
    config.write_text(Template(peer.config).substitute(values))
    return [Template(word).substitute(values) for word in peer.command]


def free_port() -> int:
    with socket.create_server((LOOPBACK, 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def stop(process: "subprocess.Popen[str]") -> None:
    """End a process and all it forked: it was started as a session of its own."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream:
            stream.close()


@contextmanager
def running(peer: Peer, server: int, patience_s: float = START_S) -> Iterator[tuple[int, int]]:
    """Run the peer in front of the server's port. Gives (pid, port); raises Failed, also if it does
    not listen within `patience_s`."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        scratch = Path(name)
        log = scratch / "log"
        with log.open("w") as stream:
            process = subprocess.Popen(
                command_line(peer, scratch, port, server),
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                process_group=0,
                text=True,
                cwd=tree(peer.revision),
                env={**os.environ, "PATH": PATH},
            )
        try:
            deadline = time.monotonic() + patience_s
            while not (listens(port) and (peer.one_port or listens(server))):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise Failed(f"does not start: {last_line(log.read_text())}")
                time.sleep(0.01)
            yield process.pid, port
        finally:
            stop(process)


def last_line(output: str) -> str:
    """Return the last line that a failed program has written."""
    return (output.strip().splitlines() or ["no output"])[-1]


def listens(port: int) -> bool:
    """Return whether a port is listening, without connecting to it.

    Connecting would open one more tunnel: that changed asyncio's heap, and its round trips took a
    quarter of the usual time.
    """
    rows = (row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:])
    return any(row[1].endswith(f":{port:04X}") and row[3] == LISTEN for row in rows)


def start_s(peer: Peer) -> float:
    """Seconds from exec to the line `ready` on standard error. Raises Failed."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        command = command_line(peer, Path(name), free_port(), free_port())
        begin = time.perf_counter()
        process = subprocess.Popen(
            command,
            stderr=subprocess.PIPE,
            process_group=0,
            text=True,
            cwd=tree(peer.revision),
        )
        patience = Timer(START_S, process.kill)
        try:
            patience.start()
            assert process.stderr
            output: list[str] = []
            for line in process.stderr:
                if line.strip() == "ready":
                    return time.perf_counter() - begin
                output.append(line)
            raise Failed(f"does not start: {last_line(''.join(output))}")
        finally:
            patience.cancel()
            stop(process)
