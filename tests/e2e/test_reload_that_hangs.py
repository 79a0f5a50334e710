"""A reload whose plugin never ends to load, in the process of the proxy."""

import threading
from pathlib import Path

import pytest

from tests.e2e.running import ECHO
from vcproxy.app import reloads
from vcproxy.app.server import Proxy
from vcproxy.config.loader import load
from vcproxy.listeners.automatic_reloads import NEVER_LOADED

blocked = threading.Event()
"""What the plugin waits for."""


def test_it_is_given_up_and_the_next_one_is_carried_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(reloads, "LOAD_S", 0.1)
    file = tmp_path / "proxy.toml"
    file.write_text(ECHO)
    (tmp_path / "slow.py").write_text(
        "from tests.e2e.test_reload_that_hangs import blocked\nblocked.wait()\n"
    )
    proxy = Proxy(load(file))
    outcomes: list[str] = []
    try:
        file.write_text(ECHO.replace('"echo"\n', '"slow.py"\n'))
        proxy.reloads.reload(outcomes.append)
        while len(outcomes) < 1:
            proxy._first.turn(0.1)
        file.write_text(ECHO)
        proxy.reloads.reload(outcomes.append)
        while len(outcomes) < 2:
            proxy._first.turn(0.1)
        assert outcomes == [NEVER_LOADED, ""]
    finally:
        blocked.set()
        proxy.close()
    errors = [line for line in capfd.readouterr().err.splitlines() if "ERROR" in line]
    assert len(errors) == 1
