"""Proxy.status(): called by another thread of the process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.running import PATIENCE_S

ASKS = """
import os, signal, sys, threading
from pathlib import Path

from vcproxy.config.loader import load
from vcproxy.app.server import Proxy

proxy = Proxy(load(Path(sys.argv[1])))

def status():
    try:
        return str(proxy.status())
    except RuntimeError as mistake:
        return str(mistake)

def ask():
    for _ in range(2):
        while "sinks=()" in (text := status()):  # the relay has not started yet
            pass
        print(text)
    os.kill(os.getpid(), signal.SIGTERM)

threading.Thread(target=ask).start()
proxy.run()
"""

BROKEN = """
from vcproxy.api import Relay

class Broken(Relay):
    def status(self):
        raise RuntimeError("no idea")
"""


@pytest.mark.parametrize("plugin", ["relay", "broken.py"])
def test_status_by_listener_name_and_exceptions(plugin: str, tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text(BROKEN)
    file = tmp_path / "proxy.toml"
    file.write_text(f"""
[[listener]]
name = "ticker"
bind = "tcp://127.0.0.1:0"
plugin = "{plugin}"
options = {{ subscribers = "tcp://127.0.0.1:0", targets = "unix:{tmp_path}/nobody" }}
""")
    done = subprocess.run(
        [sys.executable, "-c", ASKS, str(file)],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 2
    if plugin == "relay":
        assert lines[1].startswith("{'ticker': RelayStatus(")
        assert f"SinkStatus(name='unix:{tmp_path}/nobody', up=False" in lines[1]
    else:
        assert lines == ["no idea"] * 2
