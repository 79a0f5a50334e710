"""Fixtures: a log recorded by the real program, and a function that runs `vcproxy log`."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from tests.protocols.client_hellos import message, records, server_names
from vcproxy.app import cli
from vcproxy.testing.running import Running

HASH_SEED = "0"
"""PYTHONHASHSEED of the recording and the commands: a command restarts itself if they differ."""

GATE = '''
import os
from vcproxy.api import Accept, Defer, Resend, Validator, Verdict

class Gate(Validator):
    """Lets a call decide about each message."""

    def check(self, message: bytes) -> Verdict:
        return Defer(decide, message, deadline="5s")

def decide(name: bytes) -> Verdict:
    return Accept() if os.environ.get("GATE") == "open" else Resend(b"shut\\n")
'''

PATIENCE = '''
from vcproxy.api import TIMEOUT, Session, State

class Patience(Session):
    """Answers after a timeout."""

    WAITING = State(initial=True, timeout="200ms")
    DONE = State(final=True)

    @WAITING.on(TIMEOUT, to=DONE)
    def late(self, state: State) -> None:
        self.answer(b"too late\\n")
'''

CONFIGURATION = """
[record]
file = "run.log"

[[listener]]
name = "front"
bind = "tcp://127.0.0.1:0"
plugin = "forward"
upstream = "some"

[[listener]]
name = "orders"
bind = "tcp://127.0.0.1:0"
plugin = "validate"
upstream = "lines"
options = {{ pattern = "ok.*", answer = "no" }}

[[listener]]
name = "gate"
bind = "tcp://127.0.0.1:0"
plugin = "gate.py"
upstream = "lines"

[[listener]]
name = "patience"
bind = "tcp://127.0.0.1:0"
plugin = "patience.py"

[[listener]]
name = "routed"
bind = "tcp://127.0.0.1:0"
plugin = "forward"
options.routes = [{{ sni = "a.example", upstream = "lines" }}]

[upstream.lines]
servers = ["tcp://127.0.0.1:{port}"]

[upstream.some]
servers = ["tcp://127.0.0.1:1", "tcp://127.0.0.1:{port}"]    # the first has no listener
"""


class Lines(socketserver.StreamRequestHandler):
    """Replies to each line."""

    def handle(self) -> None:
        for line in self.rfile:
            self.wfile.write(b"reply to " + line)


FRONT, ORDERS, GATED, LATE, BULK, ROUTED = (
    "front", "orders", "gate", "patience", "front ", "routed"
)  # fmt: skip
"""The conversations, in order."""

SENT: dict[str, list[bytes]] = {
    FRONT: [b"hello\n", b"pass=se", b"cret and on\n"],
    ORDERS: [b"ok 1\n", b"ok 2\n", b"bad\n"],
    GATED: [b"ann\n"],
    LATE: [],
    BULK: [b"x" * 30_000 + bytes(range(256)).replace(b"\n", b"") + b"\n", b"<>\\'\"\n"],
    ROUTED: [records(message(server_names(b"a.example"))) + b"\n"],
}


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a run: run.log, its configuration and plugins."""
    folder = tmp_path_factory.mktemp("run")
    with (
        socketserver.ThreadingTCPServer(("127.0.0.1", 0), Lines) as server,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("PYTHONHASHSEED", HASH_SEED)
        patch.setenv("GATE", "open")
        server.daemon_threads = True
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        (folder / "gate.py").write_text(GATE)
        (folder / "patience.py").write_text(PATIENCE)
        (folder / "proxy.toml").write_text(CONFIGURATION.format(port=server.server_address[1]))
        running = Running(folder / "proxy.toml")
        try:
            for name, messages in SENT.items():
                _exchange(running, name.strip(), messages)
            running.stop()
        finally:
            running.kill()
            server.shutdown()
            serving.join()
    return folder


def _exchange(running: Running, name: str, messages: list[bytes]) -> None:
    with running.connect(name) as client, client.makefile("rb") as answers:
        for message in messages:
            client.sendall(message)
            if message.endswith(b"\n"):
                assert answers.readline(), running.log
        if messages:
            client.shutdown(1)
        answers.read()


@pytest.fixture
def log(recorded: Path) -> Path:
    """Return the log of the recorded run."""
    return recorded / "run.log"


Vcproxy: TypeAlias = Callable[..., tuple[int, str, str]]


@pytest.fixture
def vcproxy(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Vcproxy:
    """Return a function that runs a command line: exit status, standard output and error."""
    monkeypatch.setenv("PYTHONHASHSEED", HASH_SEED)

    def run(*arguments: object) -> tuple[int, str, str]:
        try:
            status = cli.main([str(each) for each in arguments])
        except SystemExit as left:
            status = int(left.code or 0)
        return status, *capsys.readouterr()

    return run
