"""`vcproxy machine list` shows the processes of a proxy."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.e2e.conftest import Starter
from tests.e2e.running import PATIENCE_S, VCPROXY, Running
from tests.e2e.several import replaced, two_workers, workers


def listed(running: Running) -> list[str]:
    """Return the lines of `vcproxy machine list`."""
    at = running.wait_for("processes are listed at udp://").rpartition("//")[2]
    done = subprocess.run(
        [*VCPROXY, "machine", "list", "--plain", at],
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("count", [1, 2])
def test_the_processes_are_listed(proxy: Starter, tmp_path: Path, count: int) -> None:
    text = two_workers(tmp_path).replace("workers = 2", f"workers = {count}")
    running = proxy(text + '[supervise]\nbind = "udp://127.0.0.1:0"\n')
    if count == 1:
        assert listed(running) == ["Port,PID,Machine", f"0,{running.pid},vcproxy/proxy"]
        return
    for _ in range(2):
        first, second = workers(running)
        assert listed(running) == [
            "Port,PID,Machine",
            f"0,{running.pid},vcproxy/master",
            f"0,{first},vcproxy/worker#1",
            f"0,{second},vcproxy/worker#2",
        ]
        os.kill(first, signal.SIGKILL)
        replaced(running, first)
