"""The units of systemd: accepted by systemd-analyze, hardened; the proxy runs under their limits.

What of systemd is not here, its notifications and sockets, is in tests/e2e/test_service_manager.py
and test_activation.py.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.conftest import Certificates, Starter, Tools
from tests.e2e.conftest import certificates as certificates
from tests.e2e.conftest import proxy as proxy
from tests.e2e.conftest import tools as tools
from tests.e2e.running import ECHO, VCPROXY, connect, exactly

ROOT = Path(__file__).parents[2]
UNITS = ROOT / "packaging" / "systemd"

EXPOSED = "20"
"""Tenths of the exposure that `systemd-analyze security` may find. It found 1.7; without the
hardening of a unit it is 9.6."""


@pytest.fixture
def installed(tmp_path: Path, tools: Tools) -> Path:
    """A folder with the units, where the program is that they run."""
    tools.require("systemd-analyze")
    program = tmp_path / "vcproxy"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    for unit in UNITS.glob("vcproxy*"):
        text = unit.read_text().replace("/usr/bin/vcproxy", str(program))
        text = re.sub("^Documentation=.*\n", "", text, flags=re.MULTILINE)  # they are not installed
        (tmp_path / unit.name.replace("@.", "@web.")).write_text(text)
    folder = tmp_path / "vcproxy.service.d"
    folder.mkdir()
    reload = (UNITS / "reload.conf").read_text().replace("/usr/bin/vcproxy", str(program))
    (folder / "reload.conf").write_text(reload)
    return tmp_path


@pytest.mark.parametrize("unit", ["vcproxy.service", "vcproxy@web.service", "vcproxy.socket"])
def test_systemd_accepts_it(installed: Path, tools: Tools, unit: str) -> None:
    found = tools.run("systemd-analyze", "verify", "--man=no", str(installed / unit), status=None)
    complaints = found.decode().splitlines()
    if version(tools) < 253:  # then Type=notify, the line before, is used
        complaints = [line for line in complaints if "ignoring: notify-reload" not in line]
    assert complaints == []


def version(tools: Tools) -> int:
    """The version of systemd."""
    return int(tools.run("systemd-analyze", "--version").split()[1])


@pytest.mark.parametrize("unit", ["vcproxy.service", "vcproxy@web.service"])
def test_it_is_hardened(installed: Path, tools: Tools, unit: str) -> None:
    options = ("--offline=true", f"--threshold={EXPOSED}")
    tools.run("systemd-analyze", "security", *options, str(installed / unit))


def lines(unit: str) -> list[str]:
    """The lines of a unit without its comments."""
    return [line for line in (UNITS / unit).read_text().splitlines() if line[:1] not in ("", "#")]


def test_the_template_differs_in_names_only() -> None:
    expected = [
        line.replace("/proxy.toml", "/%i.toml")
        for line in lines("vcproxy.service")
        if not line.startswith(("Description=", "StateDirectory="))
    ]
    template = lines("vcproxy@.service")
    for own in ("Description=vcproxy of %i.toml", "StateDirectory=vcproxy/%i"):
        template.remove(own)
    template.remove("RuntimeDirectoryPreserve=yes")  # of all instances
    assert template == expected


def test_users_and_folders_are_accepted(tmp_path: Path, tools: Tools) -> None:
    (tmp_path / "etc").mkdir()
    root = f"--root={tmp_path}"
    tools.run("systemd-sysusers", root, str(UNITS / "sysusers.conf"))
    assert "vcproxy:x:" in (tmp_path / "etc" / "passwd").read_text()
    tools.run("systemd-tmpfiles", root, "--create", str(UNITS / "tmpfiles.conf"))
    assert (tmp_path / "run" / "vcproxy").stat().st_mode & 0o777 == 0o700


def test_logs_are_rotated(tmp_path: Path, tools: Tools) -> None:
    log = tmp_path / "proxy.log"
    log.write_text("a line\n")
    text = (ROOT / "packaging" / "logrotate").read_text()
    text = text.replace("/var/log/vcproxy/*.log", str(log)).replace("vcproxy vcproxy", "root root")
    configuration = tmp_path / "logrotate.conf"
    configuration.write_text(text)
    configuration.chmod(0o644)
    state = ("--state", str(tmp_path / "state"))
    tools.run("logrotate", "--force", *state, str(configuration))
    assert (log.read_text(), (tmp_path / "proxy.log.1").read_text()) == ("", "a line\n")


NO_NEW_CODE = """
import ctypes, os, sys
PR_SET_MDWE, REFUSE_EXEC_GAIN = 65, 1
if ctypes.CDLL(None).prctl(PR_SET_MDWE, REFUSE_EXEC_GAIN, 0, 0, 0):
    sys.exit(77)
os.execv(sys.argv[1], sys.argv[1:])
"""
"""A program that runs another one under MemoryDenyWriteExecute, as Linux 6.3 and later know it."""


def test_it_runs_without_memory_that_can_be_written_and_executed(
    proxy: Starter, tools: Tools
) -> None:
    if b"77" in tools.run("sh", "-c", f"{sys.executable} -c '{NO_NEW_CODE}' /bin/true; echo $?"):
        pytest.skip("this kernel has no PR_SET_MDWE")
    running = proxy(f"[proxy]\nworkers = 2\n{ECHO}", wrapper=(sys.executable, "-c", NO_NEW_CODE))
    with running.connect("echo") as client:
        client.sendall(b"x")
        assert exactly(client, 1) == b"x"
    running.signal(signal.SIGHUP)
    running.wait_for("reloaded")


SERVING = """
[proxy]
workers = 2

[[listener]]
name = "web"
bind = "tls://127.0.0.1:0"
plugin = "http_proxy"
upstream = "echo"
tls = { certificate = "server.pem", key = "server.key" }

[[listener]]
name = "echo"
bind = "tcp://127.0.0.1:0"
plugin = "echo"

[[listener]]
name = "programs"
plugin = "supervise"
options.children = [{ name = "one", command = ["/bin/sleep", "1000"] }]

[upstream.echo]
servers = ["tcp://127.0.0.1:1"]
"""


def allowed(tools: Tools) -> set[str]:
    """The system calls that the filter of the unit allows, by systemd's own sets."""
    sets: dict[str, list[str]] = {}
    for line in tools.run("systemd-analyze", "syscall-filter").decode().splitlines():
        if line.startswith("@"):
            members = sets[line.strip()] = []
        elif line.strip() and not line.strip().startswith("#"):
            members.append(line.strip())

    def expanded(name: str) -> set[str]:
        parts = (expanded(each) if each[0] == "@" else {each} for each in sets[name])
        return set().union(*parts)

    found: set[str] = set()
    for line in lines("vcproxy.service"):
        if line.startswith("SystemCallFilter="):
            name = line.partition("=")[2]
            found = found - expanded(name[1:]) if name[0] == "~" else found | expanded(name)
    return found


@pytest.mark.timeout(300)  # strace stops each process twice for each call
def test_it_makes_no_system_call_that_the_filter_forbids(
    tools: Tools, tmp_path: Path, certificates: Certificates
) -> None:
    for program in ("systemd-analyze", "strace"):
        tools.require(program)
    certificate, key = certificates.issue("localhost")
    (tmp_path / "server.pem").write_bytes(certificate.read_bytes())
    (tmp_path / "server.key").write_bytes(key.read_bytes())
    (tmp_path / "own.toml").write_text(SERVING)
    counts = tmp_path / "calls"
    strace = ("strace", "-f", "-qq", "-c", "-o", str(counts))
    command = (*strace, *VCPROXY, "-c", str(tmp_path / "own.toml"))
    traced = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert traced.stderr is not None
        log = traced.stderr
        started = "".join(iter(log.readline, "ready\n"))
        ports = dict(re.findall(r"listening (\w+) \w+://127.0.0.1:(\d+)", started))
        (master,) = re.findall(r"control at unix:\S*?(\d+)\.sock", started)
        answer = tools.run("curl", "-sk", f"https://localhost:{ports['web']}/")
        assert b"502 Bad Gateway" in answer
        with connect(f"tcp://127.0.0.1:{ports['echo']}") as client:
            client.sendall(b"x")
            assert exactly(client, 1) == b"x"
        os.kill(int(master), signal.SIGHUP)
        assert any("reloaded" in line for line in log)
        os.kill(int(master), signal.SIGTERM)
        rest = log.read()
        assert traced.wait() == 0, started + rest
    finally:
        if traced.poll() is None:
            os.killpg(traced.pid, signal.SIGKILL)
        traced.communicate()
    made = {line.split()[-1] for line in counts.read_text().splitlines()[2:-2]}
    assert {"epoll_wait", "accept4", "pidfd_open"} <= made
    assert made - allowed(tools) == set()
