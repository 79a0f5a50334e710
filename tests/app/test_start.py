"""What the start imports: only what the configuration uses."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.running import forward
from tests.unmeasured import unmeasured

CHECKED = """
import sys
from vcproxy.app.cli import main

assert main(["-t", "-c", sys.argv[1]]) == 0
print(*sys.modules, file=sys.stderr)
"""

STARTED = """
import sys
from pathlib import Path
from vcproxy.app.server import Proxy
from vcproxy.config.loader import load

Proxy(load(Path(sys.argv[1]))).close()
print(*sys.modules, file=sys.stderr)
"""

HTTP = {
    "h11",
    "html",
    "http",
    "vcproxy.http.message.parsing",
    "vcproxy.http.message.probe",
    "vcproxy.http.proxy",
}
OTHER_PLUGINS = {
    "vcproxy.mirror",
    "vcproxy.messages",
    "vcproxy.relay",
    "vcproxy.tunnels.one_way_multi",
}
UNUSED = {
    "asyncio",
    "concurrent.futures",
    "logging",
    "multiprocessing",
    "nats",
    "prometheus_client",
    "shlex",
    "ssl",
    "subprocess",
    "tomli_w",
    "vcproxy.app.commands.ctl_command",
    "vcproxy.app.commands.inspection",
    "vcproxy.app.commands.machine_command",
    "vcproxy.app.commands.scaffold",
    "vcproxy.app.control.control_token",
    "vcproxy.bus.dispatch",
    "vcproxy.config.explain",
    "vcproxy.config.recovery",
    "vcproxy.config.reference",
    "vcproxy.control.dashboard",
    "vcproxy.control.http_door",
    "vcproxy.control.metrics",
    "vcproxy.control.questions",
    "vcproxy.control.web",
    "vcproxy.drivers.nats",
    "vcproxy.drivers.sim",
    "vcproxy.drivers.tls_context",
    "vcproxy.machine.diagram",
    "vcproxy.replay.log",
    "vcproxy.replay.format",
    "vcproxy.replay.record",
    "vcproxy.workers",
    "vcproxy.testing",
}
"""Each takes 1 to 100 ms to import."""


def imported(program: str, file: Path) -> set[str]:
    """Return the modules that a process has imported at the end of this program."""
    command = [sys.executable, "-c", program, str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=unmeasured())
    return set(done.stderr.splitlines()[-1].split())


@pytest.mark.parametrize("program", [CHECKED, STARTED])
def test_a_plain_forward_imports_nothing_else(program: str, tmp_path: Path) -> None:
    file = tmp_path / "proxy.toml"
    file.write_text(forward("tcp://127.0.0.1:9"))
    assert imported(program, file) & (HTTP | OTHER_PLUGINS | UNUSED) == set()


@pytest.mark.parametrize("program", [CHECKED, STARTED])
def test_http_imports_no_other_plugin(program: str, tmp_path: Path) -> None:
    file = tmp_path / "proxy.toml"
    file.write_text(forward("tcp://127.0.0.1:9").replace('"forward"', '"http_proxy"'))
    modules = imported(program, file)
    assert "vcproxy.http.message.parsing" in modules
    assert modules & (OTHER_PLUGINS - {"vcproxy.messages"} | UNUSED | {"h11"}) == set()


def test_a_check_imports_no_driver(tmp_path: Path) -> None:
    file = tmp_path / "proxy.toml"
    file.write_text(forward("tcp://127.0.0.1:9"))
    drivers = {"vcproxy.app.server", "vcproxy.drivers", "vcproxy.listeners"}
    assert imported(CHECKED, file) & drivers == set()
