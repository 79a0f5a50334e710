"""`vcproxy signal` and the bus of a running proxy: its socket, mutual TLS, several workers."""

from __future__ import annotations

import subprocess

import pytest

from tests.e2e.conftest import Certificates, Starter
from tests.e2e.running import ECHO, VCPROXY, free_port


def signal(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [*VCPROXY, "signal", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_proxy_is_found_by_its_process(proxy: Starter) -> None:
    first, second = proxy(ECHO), proxy(ECHO)
    asked = signal("--pid", str(second.pid), "STATUS")
    assert (asked.returncode, asked.stderr) == (0, "")
    assert f"  pid            {second.pid}\n" in asked.stdout
    several = signal("STATUS")
    assert several.returncode == 4
    assert f"  --pid {first.pid} (" in several.stderr
    assert signal("--pid", str(first.pid), "STOP").stdout == "STOPPING\n"
    assert first.wait() == 0
    assert signal("--pid", str(first.pid), "STOP").returncode == 3


def test_a_reload_that_is_refused(proxy: Starter) -> None:
    running = proxy(ECHO)
    assert signal("--pid", str(running.pid), "RELOAD").stdout.startswith("RELOADED\n")
    running.file.write_text("a = 1\nb = 2\n" + ECHO)
    refused = signal("--pid", str(running.pid), "RELOAD")
    assert refused.returncode == 1
    head, first, second = refused.stdout.splitlines()
    assert head == "NOT_RELOADED"
    assert first.startswith(f"  reason  {running.file}:1:1: a: unknown key")
    assert second.startswith(f"          {running.file}:2:1: b: unknown key")


@pytest.mark.parametrize("known", [True, False])
def test_commands_with_a_certificate(
    proxy: Starter, certificates: Certificates, untrusted: Certificates, known: bool
) -> None:
    certificate, key = certificates.issue("127.0.0.1")
    port = free_port()
    running = proxy(
        f'[control]\nbus = "tls://127.0.0.1:{port}"\n[control.tls]\ncertificate = "{certificate}"\n'
        f'key = "{key}"\nclient_ca = "{certificates.ca}"\n' + ECHO
    )
    own, own_key = (certificates if known else untrusted).issue("operator")
    done = signal(
        *(
            "--type",
            "tcp",
            "--encrypt",
            "--host",
            f"127.0.0.1:{port}",
            "--ca",
            str(certificates.ca),
        ),
        *("--certificate", str(own), "--key", str(own_key), "STOP"),
    )
    if known:
        assert (done.returncode, done.stdout) == (0, "STOPPING\n")
        assert running.wait() == 0
    else:
        assert (done.returncode, done.stdout) == (3, "")
        assert done.stderr.startswith(f"tls://127.0.0.1:{port}: ")


def test_workers_are_replaced(proxy: Starter) -> None:
    running = proxy("[proxy]\nworkers = 2\n" + ECHO)
    pid = str(running.pid)

    def workers() -> str:
        shown = signal("--pid", pid, "STATUS").stdout
        [line] = [line for line in shown.splitlines() if line.startswith("  workers ")]
        return line

    before = workers()
    done = signal("--pid", pid, "RESTART")
    assert (done.returncode, done.stdout) == (0, "RESTARTED\n")
    assert workers() != before
