"""A proxy with two workers, and helpers that find which worker serves a client."""

from __future__ import annotations

import os
import socket
from contextlib import closing
from pathlib import Path

from tests.e2e.running import Running, eventually, exactly

WHO = """
import os
from vcproxy.api import Message, Session, State, lines

class Who(Session):
    needs_upstream = False
    datagrams = True
    framing = lines(limit="1KiB")
    TALKING = State(initial=True)

    @TALKING.on(Message, to=())
    def asked(self, message):
        self.answer(b"%08d\\n" % os.getpid() + MARK)

MARK = b""
"""
"""A plugin that answers each line with the process that serves it, in 9 bytes."""

WORKERS = '[proxy]\nworkers = 2\ndrain_timeout = "5s"\n'


def listener(name: str = "who", bind: str = "tcp://127.0.0.1:0", plugin: str = "who.py") -> str:
    """Return a listener; its plugin is WHO."""
    return f'[[listener]]\nname = "{name}"\nbind = "{bind}"\nplugin = "{plugin}"\n'


def two_workers(folder: Path, *listeners: str) -> str:
    """Write the plugin; return a configuration with two workers."""
    (folder / "who.py").write_text(WHO)
    return WORKERS + "".join(listeners or (listener(),))


def workers(running: Running) -> list[int]:
    """Return the processes of the workers, in the order of their numbers."""
    children = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()
    numbered = {}
    for pid in children:
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        numbered.update({each: int(pid) for each in command if each.startswith(b"--number=")})
    return [pid for _, pid in sorted(numbered.items())]


def who(client: socket.socket) -> int:
    """Return the process that serves a client."""
    client.sendall(b"?\n")
    return int(exactly(client, 9))


def served_by(running: Running, pid: int, name: str = "who") -> socket.socket:
    """Return a client that a certain worker serves."""
    while True:
        client = running.connect(name)
        if who(client) == pid:
            return client
        client.close()


def is_replaced(running: Running, pid: int) -> bool:
    """Whether there is a new process in place of a worker."""
    pids = workers(running)
    return pid not in pids and len(pids) == 2


def replaced(running: Running, pid: int) -> None:
    """Wait until a worker that has died is replaced, and the new one serves."""
    eventually(lambda: is_replaced(running, pid), "a new worker")
    served = set(workers(running))

    def seen() -> bool:
        with closing(running.connect("who")) as client:
            served.discard(who(client))
        return not served

    eventually(seen, "each of the workers serves a client")


def gone(pid: int) -> bool:
    """Whether a process has ended."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False
