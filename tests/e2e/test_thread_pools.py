"""Names and calls that hang, in the real program: reloads and other conversations continue."""

from __future__ import annotations

import signal
import socket
from contextlib import ExitStack
from pathlib import Path

from tests.e2e.conftest import Starter
from tests.e2e.running import Server, all_of, exactly, forward

PLUGINS = '''
import socket
import threading

from vcproxy.api import Accept, Defer, Validator, Verdict, lines

never = threading.Event()
found = socket.getaddrinfo


def look_up(host, *rest, **keywords):
    """Hang for names of a broken name server."""
    if isinstance(host, str) and host.endswith(".slow"):
        never.wait()
    return found(host, *rest, **keywords)


socket.getaddrinfo = look_up


class Hanging(Validator):
    """Calls a function that never returns, except for the message quick."""

    framing = lines()

    def check(self, message: bytes) -> Verdict:
        if message == b"quick":
            return Defer(str, deadline="60s", then=lambda message, value: Accept())
        return Defer(never.wait, deadline=f"{message.decode()}s")
'''


def listener(name: str, plugin: str, upstream: str) -> str:
    return f"""
[[listener]]
name = "{name}"
bind = "tcp://127.0.0.1:0"
plugin = "{plugin}"
upstream = "{upstream}"
timeouts = {{ connect = "60s" }}
"""


def test_a_reload_works_while_names_and_calls_hang(proxy: Starter, tmp_path: Path) -> None:
    plugin = tmp_path / "hanging.py"
    plugin.write_text(PLUGINS)
    with Server() as server, ExitStack() as clients:
        port = server.uri.rpartition(":")[2]
        names = range(12)
        text = forward(server.uri)
        text += listener("checked", f"{plugin}:Hanging", "out")
        text += listener("other", f"{plugin}:Hanging", "out")
        text += listener("local", "forward", "local")
        text += f'[upstream.local]\nservers = ["tcp://localhost:{port}"]\n'
        for number in names:
            text += listener(f"slow-{number}", "forward", f"slow-{number}")
            servers = f'servers = ["tcp://name-{number}.slow:{port}"]'
            text += f"[upstream.slow-{number}]\n{servers}\n"
        running = proxy(text)
        for number in names:
            clients.enter_context(running.connect(f"slow-{number}"))
        for _ in range(9):
            client = clients.enter_context(running.connect("checked"))
            client.sendall(b"60\n")
        running.signal(signal.SIGHUP)
        running.wait_for("reloaded")
        with running.connect("local") as client, server.next() as accepted:
            client.sendall(b"a name that is known")
            assert exactly(accepted, 20) == b"a name that is known"
        with running.connect("other") as client:
            client.sendall(b"quick\n")
            with server.next() as accepted:
                assert exactly(accepted, 6) == b"quick\n"
        running.signal(signal.SIGTERM)
        running.wait_for("draining")
        running.signal(signal.SIGTERM)
        assert running.wait() == 0


def test_calls_that_never_return_are_replaced_at_their_deadline(
    proxy: Starter, tmp_path: Path
) -> None:
    plugin = tmp_path / "hanging.py"
    plugin.write_text(PLUGINS)
    with Server() as server, ExitStack() as stack:
        running = proxy(forward(server.uri).replace('"forward"', f'"{plugin}:Hanging"'))
        clients = [stack.enter_context(running.connect("in")) for _ in range(12)]
        for client in clients:
            client.sendall(b"0.2\n")
        for client in clients:
            assert ends(client)
        with running.connect("in") as client:
            client.sendall(b"quick\n")
            with server.next() as accepted:
                assert exactly(accepted, 6) == b"quick\n"
        running.expected_tracebacks = None


def ends(client: socket.socket) -> bool:
    """Whether the proxy closes a connection, in any way."""
    try:
        return all_of(client) == b""
    except ConnectionResetError:
        return True
