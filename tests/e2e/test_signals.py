"""Signals: drain and stop, reload, reopen the log."""

from __future__ import annotations

import os
import re
import signal
import socket
import ssl
import subprocess
import threading
import time
from itertools import cycle
from pathlib import Path

import pytest

from tests.e2e.conftest import Certificates, Starter, Tools
from tests.e2e.running import (
    ECHO,
    PIECE,
    Running,
    Server,
    all_of,
    eventually,
    exactly,
    fill,
    forward,
    refusing,
)


def refuses(running: Running, name: str) -> bool:
    """Whether a listener accepts no more connections."""
    try:
        running.connect(name).close()
    except (ConnectionRefusedError, FileNotFoundError):
        return True
    return False


def rewrite(running: Running, text: str) -> None:
    """Reload with another configuration, and wait until the result is logged."""
    running.file.write_text(text)
    count = running.log.count("reloaded")
    running.signal(signal.SIGHUP)
    running.wait_for("reloaded", count + 1)


# -- the end -------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_transfer_in_progress_ends_and_no_client_is_accepted(
    proxy: Starter, number: signal.Signals
) -> None:
    with Server() as server:
        running = proxy(forward(server.uri))
        with running.connect("in") as client, server.next() as accepted:
            client.sendall(b"give me")
            assert exactly(accepted, 7) == b"give me"
            running.signal(number)
            running.wait_for("draining connections: 2, 10s at most")
            assert refuses(running, "in")
            accepted.sendall(PIECE)
            accepted.shutdown(socket.SHUT_WR)
            assert all_of(client) == PIECE
            client.close()
        began = time.monotonic()
        assert running.wait() == 0
        assert time.monotonic() - began < 5


def test_a_stop_without_connections_is_logged(proxy: Starter) -> None:
    running = proxy(ECHO)
    running.signal(signal.SIGTERM)
    assert running.wait() == 0
    assert running.log.count("INFO stopping: no connection is open") == 1


def test_a_second_signal_stops_at_once(proxy: Starter) -> None:
    with Server() as server:
        running = proxy(forward(server.uri))
        with running.connect("in") as client, server.next() as accepted:
            client.sendall(b"x")
            exactly(accepted, 1)
            running.signal(signal.SIGTERM)
            running.wait_for("draining")
            running.signal(signal.SIGTERM)
            assert running.wait() == 0
            for sock in (client, accepted):  # a reset, not a FIN
                with pytest.raises(ConnectionResetError):
                    all_of(sock)


def test_a_connection_that_does_not_end_is_reset_after_the_drain_timeout(proxy: Starter) -> None:
    with Server() as server:
        running = proxy('[proxy]\ndrain_timeout = "300ms"\n' + forward(server.uri))
        with running.connect("in") as client, server.next() as accepted:
            accepted.sendall(b"half")
            exactly(client, 4)
            began = time.monotonic()
            running.signal(signal.SIGTERM)
            assert running.wait() == 0
            assert 0.25 < time.monotonic() - began < 5
            with pytest.raises(ConnectionResetError):
                all_of(client)


def test_a_drain_that_lasts_logs_what_it_waits_for(proxy: Starter) -> None:
    with Server() as server:
        running = proxy('[proxy]\ndrain_timeout = "600ms"\n' + forward(server.uri))
        with running.connect("in") as client, server.next() as accepted:
            accepted.sendall(b"half")
            exactly(client, 4)
            running.signal(signal.SIGTERM)
            running.wait_for(
                r"still draining, 300ms more at most; waits for connection in 127\.0\.0\.1:"
                rf"{client.getsockname()[1]} quiet for \d+\.\ds; connection \S+ quiet for"
            )
            assert running.wait() == 0


def test_it_ends_with_blocked_transfers(proxy: Starter) -> None:
    """Transfers through bridges on several threads, whose receivers do not read."""
    with Server() as server:
        running = proxy('[proxy]\nnet_threads = 3\ndrain_timeout = "100ms"\n' + forward(server.uri))
        pairs = [(running.connect("in"), server.next()) for _ in range(3)]
        for client, _ in pairs:
            fill(client)
        running.signal(signal.SIGTERM)
        assert running.wait() == 0
        for pair in pairs:
            for sock in pair:
                sock.close()


def test_a_unix_socket_is_removed_at_the_end(proxy: Starter, tmp_path: Path) -> None:
    running = proxy(ECHO.replace("tcp://127.0.0.1:0", "unix:echo.sock"))
    assert (tmp_path / "echo.sock").is_socket()
    running.stop()
    assert not (tmp_path / "echo.sock").exists()


def test_a_reload_binds_a_removed_unix_socket_again(proxy: Starter, tmp_path: Path) -> None:
    path = tmp_path / "echo.sock"
    running = proxy(ECHO.replace("tcp://127.0.0.1:0", "unix:echo.sock"))
    with running.connect("echo") as old:
        kept = path.stat().st_ino
        running.signal(signal.SIGHUP)
        running.wait_for("reloaded")
        assert path.stat().st_ino == kept, "an existing socket is kept"
        path.unlink()
        running.signal(signal.SIGHUP)
        running.wait_for("reloaded", 2)
        with running.connect("echo") as new:
            for client in (old, new):
                client.sendall(b"still here")
                assert exactly(client, 10) == b"still here"
        path.unlink()
        path.write_text("another file")
        running.signal(signal.SIGHUP)
        running.wait_for(f"ERROR echo: cannot listen at unix:{path} again: address already in use")
        running.wait_for("reloaded", 3)
        assert path.read_text() == "another file"
        path.unlink()
        running.signal(signal.SIGHUP)
        running.wait_for("reloaded", 4)
        running.connect("echo").close()
    running.stop()
    assert not path.exists()


# -- a new configuration -------------------------------------------------------------------------


def test_new_connections_use_it_and_old_ones_continue(proxy: Starter) -> None:
    with Server() as one, Server() as two:
        running = proxy(forward(one.uri))
        with running.connect("in") as old, one.next() as old_accepted:
            rewrite(running, forward(two.uri))
            with running.connect("in") as new, two.next() as new_accepted:
                for client, accepted in ((old, old_accepted), (new, new_accepted)):
                    client.sendall(b"to")
                    assert exactly(accepted, 2) == b"to"
                    accepted.sendall(b"fro")
                    assert exactly(client, 3) == b"fro"


def test_all_errors_are_logged_and_nothing_changes(proxy: Starter) -> None:
    running = proxy(ECHO)
    rewrite(running, "[proxy]\nnet_thread = 1\n" + listener("x", "tcp:").replace("echo", "ecko"))
    log = running.wait_for("not reloaded; the previous configuration stays in use") and running.log
    for wrong in ("proxy.net_thread", "bind", "ecko"):
        assert re.search(rf"{re.escape(str(running.file))}:\d+:\d+: .*{wrong}", log), wrong
    running.file.unlink()
    running.signal(signal.SIGHUP)
    running.wait_for("not reloaded", 2)
    with running.connect("echo") as client:
        client.sendall(b"as before")
        assert exactly(client, 9) == b"as before"


def free() -> str:
    """A fixed address that no process uses: it is the same before and after a reload."""
    with Server() as server:
        return server.uri


def listener(name: str, uri: str) -> str:
    """An echo listener at an address."""
    return f'[[listener]]\nname = "{name}"\nbind = "{uri}"\nplugin = "echo"\n'


def test_listeners_are_added_and_removed(proxy: Starter) -> None:
    one, two = free(), free()
    running = proxy(listener("one", one))
    with running.connect("one") as old:
        rewrite(running, listener("one", one) + listener("two", two))
        running.idle_descriptors += 1
        assert running.uri("two") == two
        with running.connect("two") as client:
            client.sendall(b"new")
            assert exactly(client, 3) == b"new"
        rewrite(running, listener("two", two))
        running.idle_descriptors -= 1
        assert refuses(running, "one")
        old.sendall(b"old")
        assert exactly(old, 3) == b"old"


def test_a_listener_is_renamed(proxy: Starter) -> None:
    uri = free()
    running = proxy(listener("before", uri) + listener("other", "tcp://127.0.0.1:0"))
    rewrite(running, listener("after", uri) + listener("other", "tcp://127.0.0.1:0"))
    with running.connect("before") as client:
        client.sendall(b"same place")
        assert exactly(client, 10) == b"same place"
    with running.connect("other") as client:
        client.sendall(b"same port")
        assert exactly(client, 9) == b"same port"


def test_an_address_in_use_keeps_the_old_configuration(proxy: Starter) -> None:
    one, two = free(), free()
    running = proxy(listener("one", one))
    with Server() as taken:
        rewrite(running, listener("two", two) + listener("three", taken.uri))
        running.wait_for(f"listener.three: cannot listen at {taken.uri}: address already in use")
    with running.connect("one") as client:
        client.sendall(b"here")
        assert exactly(client, 4) == b"here"
    rewrite(running, listener("two", two))  # the address is not bound any more
    with running.connect("two") as client:
        client.sendall(b"there")
        assert exactly(client, 5) == b"there"


def test_new_certificates_are_used_without_a_restart(
    proxy: Starter, certificates: Certificates, untrusted: Certificates
) -> None:
    def certified(authority: Certificates) -> str:
        certificate, key = authority.issue("localhost")
        tls = f'tls = {{ certificate = "{certificate}", key = "{key}" }}\n'
        return listener("echo", "tls://127.0.0.1:0") + tls

    def trusted(authority: Certificates) -> bool:
        context = ssl.create_default_context(cafile=str(authority.ca))
        with running.connect("echo") as plain:
            try:
                context.wrap_socket(plain, server_hostname="localhost").close()
            except ssl.SSLCertVerificationError:
                return False
            return True

    running = proxy(certified(untrusted))
    assert not trusted(certificates)
    rewrite(running, certified(certificates))
    assert trusted(certificates)


def test_a_change_that_needs_a_restart_is_logged(proxy: Starter) -> None:
    running = proxy(ECHO)
    rewrite(running, "[proxy]\nnet_threads = 2\n" + ECHO)
    running.wait_for("WARNING proxy.net_threads has changed: restart the proxy to use it")


def test_reloads_under_load_lose_no_request(proxy: Starter, tools: Tools) -> None:
    uri = refusing()
    port = uri.rpartition(":")[2]
    tools.serve(uri, "redis-server", "--port", port, "--save", "")
    running = proxy("[proxy]\nnet_threads = 2\n" + forward(uri))
    benchmark = tools.start(
        *("redis-benchmark", "-p", str(running.port("in")), "-t", "set", "-n", "3000"),
        *("-k", "0"),  # a connection for each request
    )
    reloads = 0
    while benchmark.poll() is None:
        rewrite(running, running.file.read_text())
        reloads += 1
    assert benchmark.returncode == 0
    assert reloads > 3
    assert "failed" not in running.log


def test_reloads_leave_no_descriptor(proxy: Starter) -> None:
    running = proxy(ECHO)
    for number in range(30):
        rewrite(running, listener(f"name {number}", "unix:echo.sock") + ECHO)
    running.idle_descriptors += 1


# -- the log -------------------------------------------------------------------------------------


def test_the_log_goes_to_a_file_that_is_reopened(proxy: Starter, tmp_path: Path) -> None:
    running = proxy('[proxy]\nlog = "proxy.log"\n' + ECHO)
    log, moved = tmp_path / "proxy.log", tmp_path / "proxy.log.1"

    def reload() -> None:
        running.signal(signal.SIGHUP)

    reload()
    eventually(lambda: "reloaded" in log.read_text(), "the first entry")
    log.rename(moved)
    reload()
    eventually(lambda: moved.read_text().count("reloaded") == 2, "the second, where it was")
    running.signal(signal.SIGUSR1)
    reload()
    eventually(lambda: log.exists() and "reloaded" in log.read_text(), "the third, in a new file")
    assert moved.read_text().count("reloaded") == 2
    assert "reloaded" not in running.log


def test_signals_during_the_end_change_nothing(proxy: Starter) -> None:
    running = proxy(ECHO)
    running.signal(signal.SIGTERM)
    for number in cycle((signal.SIGHUP, signal.SIGUSR1, signal.SIGINT, signal.SIGTERM)):
        if running.poll() is not None:
            break
        running.signal(number)
        threading.Event().wait(0.001)
    assert running.wait() == 0


# -- process 1 -----------------------------------------------------------------------------------

STARTER = """
import os, subprocess
from vcproxy.api import Message, Session, State, lines

class Starter(Session):
    needs_upstream = False
    framing = lines(limit="1KiB")
    ASKING, CLOSED = State(initial=True), State(final=True)

    @ASKING.on(Message, to=(CLOSED,))
    def requested(self, message):
        status = subprocess.run(["sh", "-c", "sleep 0.01 & exit 7"]).returncode
        self.answer(b"%d %d" % (os.getpid(), status))
        return self.CLOSED
"""


def test_as_process_1_it_reloads_drains_and_leaves_child_processes_to_plugins(
    proxy: Starter, tmp_path: Path
) -> None:
    (tmp_path / "starter.py").write_text(STARTER)
    unshare = ["unshare", "--pid", "--fork", "--kill-child"]
    if subprocess.run([*unshare, "true"], stderr=subprocess.DEVNULL, check=False).returncode:
        unshare[1:1] = ["--user", "--map-root-user"]  # if not root
    text = listener("a", "tcp://127.0.0.1:0").replace("echo", "starter.py")
    running = proxy(text, wrapper=tuple(unshare))
    first = int(Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text())
    for _ in range(2):
        with running.connect("a") as client:
            client.sendall(b"\n")
            pid, status = all_of(client).split()
            assert (int(pid) > 1, status) == (True, b"7"), "process 1 is not the proxy"
    os.kill(first, signal.SIGHUP)
    running.wait_for("reloaded")
    os.kill(first, signal.SIGTERM)
    assert running.wait() == 0
