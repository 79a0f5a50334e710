"""A closed connection leaves no objects for Python's garbage collector.

The real program runs with the collector switched off, so that only reference counts free memory.
"""

from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.running import free_port
from vcproxy.app import garbage

PROGRAM = """
import gc, os, signal, socket, sys, threading, time
from pathlib import Path

from vcproxy.app.server import Proxy
from vcproxy.config.loader import load
from vcproxy.engine.net import NetVConnection

proxy = Proxy(load(Path(sys.argv[1])))
port, request, ending = int(sys.argv[2]), sys.argv[3].encode(), sys.argv[4]

def converse():
    with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
        for _ in range(3):
            client.sendall(request)
            assert client.recv(1 << 16)
        if ending == "end":
            client.shutdown(socket.SHUT_WR)
            while client.recv(1 << 16):
                pass

def left():
    return [each for each in gc.get_objects() if isinstance(each, NetVConnection)]

def count():
    try:
        converse()  # what is made once
        gc.collect()
        gc.disable()
        for _ in range(10):
            converse()
        last = time.monotonic() + 20
        while left() and time.monotonic() < last:
            time.sleep(0.01)
        print(len(left()), "connections,", gc.collect(), "objects in cycles")
    finally:
        os.kill(os.getpid(), signal.SIGTERM)

threading.Thread(target=count).start()
proxy.run()
"""

CONFIGURATION = """
[[listener]]
name = "in"
bind = "tcp://127.0.0.1:{port}"
plugin = "{plugin}"
upstream = "out"

[[listener]]
name = "server"
bind = "unix:server.sock"
plugin = "{server}"

[upstream.out]
servers = ["unix:server.sock"]
"""


@pytest.mark.parametrize("ending", ["end", "reset"])
@pytest.mark.parametrize(
    ("plugin", "server", "request_"),
    [
        ("forward", "echo", "a line\n"),
        ("http_proxy", "page", "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"),
        ("http_proxy", "echo", "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"),
    ],
    ids=["forward", "http", "http-502"],
)
def test_a_closed_connection_is_freed_by_its_reference_counts(
    plugin: str, server: str, request_: str, ending: str, tmp_path: Path
) -> None:
    file = tmp_path / "proxy.toml"
    port = free_port()
    file.write_text(CONFIGURATION.format(port=port, plugin=plugin, server=server))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(file), str(port), request_, ending],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == "0 connections, 0 objects in cycles\n", done.stderr


class Cycle:
    """An object that refers to itself."""

    def __init__(self) -> None:
        self.itself = self


def cycles() -> int:
    return sum(type(each) is Cycle for each in gc.get_objects())


def test_settling_collects_also_what_was_excluded_before() -> None:
    thresholds = gc.get_threshold()
    try:
        garbage.postpone()
        assert not gc.isenabled()
        kept = Cycle()
        garbage.settle()
        assert gc.isenabled()
        assert gc.get_threshold()[0] == garbage.YOUNG
        assert gc.get_freeze_count() > 1000
        assert not any(each is kept for each in gc.get_objects()), "it is excluded"
        del kept
        garbage.settle()
        gc.unfreeze()
        assert cycles() == 0
    finally:
        gc.unfreeze()
        gc.set_threshold(*thresholds)
        gc.enable()
