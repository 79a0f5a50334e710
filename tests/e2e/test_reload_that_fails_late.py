"""A reload that raises a limit, and one whose files change after they were checked."""

import signal
from pathlib import Path

import pytest

from tests.e2e.conftest import Certificates, Starter
from tests.e2e.running import ECHO, exactly
from vcproxy.app.server import Proxy
from vcproxy.config.loader import load


def test_a_waiting_client_is_accepted_when_the_limit_is_raised(proxy: Starter) -> None:
    limited = ECHO + "limits = {{ max_connections = {} }}\n"
    running = proxy(limited.format(1))
    with running.connect("echo") as first, running.connect("echo") as second:
        first.sendall(b"1")
        assert exactly(first, 1) == b"1"
        second.sendall(b"2")
        running.file.write_text(limited.format(2))
        running.signal(signal.SIGHUP)
        assert exactly(second, 1) == b"2"


def test_a_certificate_removed_after_the_check_changes_nothing(
    tmp_path: Path, certificates: Certificates, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "proxy.toml"
    file.write_text(ECHO)
    running = Proxy(load(file))
    pem, key = certificates.issue("vanishing")
    tls = ECHO.replace("tcp:", "tls:").replace('name = "echo"', 'name = "two"')
    file.write_text(f'{tls}tls = {{ certificate = "{pem}", key = "{key}" }}\n')
    checked = load(file)
    pem.unlink()
    key.unlink()
    with pytest.raises(OSError, match=r"vanishing\.pem: No such file"):
        running.listeners.apply(checked)
    running.close()
    lines = [line for line in capfd.readouterr().err.splitlines() if "listening" in line]
    assert len(lines) == 1
    assert lines[0].startswith("listening echo tcp://127.0.0.1:")
