"""A program that listens at addresses in its options, and connects to a server."""

from __future__ import annotations

import signal
import ssl
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.conftest import Certificates, Starter, Tools
from tests.e2e.running import Server, connect, exactly, refusing
from tests.e2e.test_signals import refuses, rewrite
from vcproxy.testing.running import PATIENCE_S

BOARD = '''
from dataclasses import dataclass

from vcproxy.api import (
    Endpoint,
    Event,
    Program,
    Reconnected,
    ReconnectingConnection,
    Target,
    UpstreamTls,
)
from vcproxy.sessions.streams import OutputStream


class Board(Program):
    """Sends each client the option at whose address it connected; sends "news" to its target."""

    @dataclass(frozen=True)
    class Options:
        side: tuple[Endpoint, ...] = ()
        target: Target | None = None
        tls: UpstreamTls = UpstreamTls()

    @classmethod
    def binds(cls, options):
        return {"side": options.side}

    @classmethod
    def connects(cls, options):
        return {"target": (options.target,) if options.target else ()}

    def start(self):
        options, tls = self.service.options, self.service.connect_tls
        if options.target is not None:
            name = f"board {options.target}"
            ReconnectingConnection(self, options.target, name=name, tls=tls).start()

    def handle_event(self, key, data):
        if key is Event.ACCEPT:
            assert data.engine is self.engine
            self.send(data, self.bind_option(data) or "front")
        elif key is Reconnected:
            self.write(f"up {data.connection.target}")
            self.send(data.vc, "news")
        elif key in (Event.EOS, Event.ERROR):
            data.vc.do_io_close()

    def send(self, vc, text):
        OutputStream(self, vc, text.encode() + b"\\n")
        vc.do_io_read(self, None, self.engine.buffer())
'''


@pytest.fixture(autouse=True)
def _board(tmp_path: Path) -> None:
    (tmp_path / "board.py").write_text(BOARD)


def board(options: str, more: str = "") -> str:
    """A configuration with the board on two net threads."""
    return f"""
[proxy]
net_threads = 2

[[listener]]
name = "board"
bind = "tcp://127.0.0.1:0"
plugin = "board.py"
options = {{ {options} }}
{more}
"""


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("where", ["start", "__init__"])
def test_a_program_that_cannot_be_started_ends_the_start(
    workers: int, where: str, tmp_path: Path
) -> None:
    file = tmp_path / "first.toml"
    (tmp_path / "broken.py").write_text(
        "from vcproxy.api import Program\n"
        f"class Broken(Program):\n    def {where}(self, *_):\n        open('/nowhere/prices')\n"
    )
    file.write_text(
        f"[proxy]\nworkers = {workers}\n"
        '[[listener]]\nname = "prices"\nplugin = "broken.py"\n'
        '[[listener]]\nname = "echo"\nbind = "tcp://127.0.0.1:0"\nplugin = "echo"\n'
    )
    done = subprocess.run(
        [sys.executable, "-m", "vcproxy", "-c", str(file)],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert "ready" not in lines
    assert lines[-1] == (
        f"{file}: listener.prices: the program could not be started: "
        "FileNotFoundError: [Errno 2] No such file or directory: '/nowhere/prices'"
    )


def test_a_client_gets_the_option_of_its_address_and_all_are_on_one_thread(
    proxy: Starter, tmp_path: Path
) -> None:
    running = proxy(board(f'side = ["tcp://127.0.0.1:0", "unix:{tmp_path}/side"]'))
    tcp, unix = running.uris("board.side")
    assert unix == f"unix:{tmp_path}/side"
    for _ in range(2):  # if clients were distributed in turn, both threads would have one
        with running.connect("board") as client:
            assert exactly(client, 6) == b"front\n"
    for uri in (tcp, unix):
        with connect(uri) as client:
            assert exactly(client, 5) == b"side\n"


def test_a_further_address_has_the_tls_and_the_limits_of_the_listener(
    proxy: Starter, certificates: Certificates
) -> None:
    certificate, key = certificates.issue("localhost")
    running = proxy(
        board(
            'side = ["tls://127.0.0.1:0"]',
            f'tls = {{ certificate = "{certificate}", key = "{key}" }}\n'
            "limits = { max_connections = 1 }",
        )
    )
    trust = ssl.create_default_context(cafile=certificates.ca)
    sock = running.connect("board.side")
    with trust.wrap_socket(sock, server_hostname="localhost") as client:
        assert client.recv(100) == b"side\n"
        with running.connect("board.side") as second:
            second.settimeout(0.1)
            # connected by the kernel, but not accepted by the proxy
            with pytest.raises(TimeoutError):
                trust.wrap_socket(second, server_hostname="localhost")


def test_a_reload_adds_and_removes_addresses_and_a_drain_closes_them(proxy: Starter) -> None:
    one, two = refusing(), refusing()
    running = proxy(board(f'side = ["{one}"]'))
    with running.connect("board.side") as old:
        assert exactly(old, 5) == b"side\n"
        rewrite(running, board(f'side = ["{one}", "{two}"]'))
        running.idle_descriptors += 1
        assert running.uris("board.side") == [one, two]
        rewrite(running, board(f'side = ["{two}"]'))
        running.idle_descriptors -= 1
        running.signal(signal.SIGTERM)
        running.wait_for("draining connections: 1")
        assert refuses(running, "board")
        old.sendall(b"still here")
    assert running.wait() == 0


def test_an_address_in_use_is_named_in_the_log(proxy: Starter) -> None:
    with Server() as taken:
        running = proxy(board(""))
        rewrite(running, board(f'side = ["{taken.uri}"]'))
        running.wait_for(f"listener.board.side: cannot listen at {taken.uri}: address already in")


def test_a_target_is_tried_until_it_accepts(proxy: Starter) -> None:
    uri = refusing()
    running = proxy(board(f'target = "{uri}"'))
    running.wait_for(rf"board {uri}: connection refused; trying again in \d+ms")


def test_a_target_over_tls_is_verified(
    proxy: Starter, tools: Tools, certificates: Certificates
) -> None:
    certificate, key = certificates.issue("localhost")
    port = refusing().rpartition(":")[2]
    tools.serve(
        f"tcp://localhost:{port}",
        *("openssl", "s_server", "-accept", port, "-quiet"),
        *("-cert", str(certificate), "-key", str(key)),
    )
    uri = f"tls://localhost:{port}"
    running = proxy(board(f'target = "{uri}"'))
    running.wait_for(f"board {uri}: .*certificate is refused: unknown CA.*; trying again in")
    trusting = proxy(board(f'target = "{uri}", tls = {{ ca = "{certificates.ca}" }}'))
    trusting.wait_for(f"^up {uri}$")
    trusting.idle_descriptors += 1
