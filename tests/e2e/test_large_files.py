"""Large files in both directions, by other programs, compared by checksums."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tests.e2e.conftest import Certificates, Large, Starter, Tools
from tests.e2e.running import forward, refusing
from tests.e2e.web import nginx


@pytest.mark.parametrize(
    ("settings", "bridged"),
    [("", True), ("splice = false", False), ("net_threads = 2", True)],
    ids=["bridged", "copied", "two threads"],
)
def test_up_then_down_over_one_connection(
    proxy: Starter, tools: Tools, large: Large, tmp_path: Path, settings: str, bridged: bool
) -> None:
    path, checksum = large
    server = refusing()
    port = server.rpartition(":")[2]
    # The server replies after the client's end: first the checksum, then the file.
    tools.serve(
        server,
        *("socat", "-b", "262144", f"TCP-LISTEN:{port},fork,reuseaddr"),
        f"SYSTEM:sha256sum; cat {path}",
    )
    running = proxy(f"[proxy]\n{settings}\n" + forward(server))
    back = tmp_path / "back.bin"
    tools.run(
        *("socat", "-t", "30", "-b", "262144", f"OPEN:{path}!!CREATE:{back}"),
        f"TCP:127.0.0.1:{running.port('in')}",
    )
    with back.open("rb") as file:
        assert file.readline().split()[0].decode() == checksum
        assert hashlib.sha256(file.read()).hexdigest() == checksum
    assert (running.pipes() > 1) == bridged  # one pipe is the standard error of the proxy


def test_both_ways_at_once(proxy: Starter, tools: Tools, large: Large, tmp_path: Path) -> None:
    path, checksum = large
    echo = proxy('[[listener]]\nname = "echo"\nbind = "tcp://[::1]:0"\nplugin = "echo"\n')
    running = proxy(forward(echo.uri("echo"), bind="tcp://[::1]:0"))
    back = tmp_path / "back.bin"
    tools.run(
        *("socat", "-t", "30", "-b", "262144", f"OPEN:{path}!!CREATE:{back}"),
        f"TCP6:[::1]:{running.port('in')}",
    )
    assert hashlib.sha256(back.read_bytes()).hexdigest() == checksum


def test_over_tls_with_nginx_and_curl(
    proxy: Starter, tools: Tools, large: Large, certificates: Certificates, tmp_path: Path
) -> None:
    path, checksum = large
    certificate, key = certificates.issue("localhost")
    root = tmp_path / "root"
    root.mkdir(mode=0o777)
    (root / "large.bin").symlink_to(path)
    server = nginx(
        *(tools, tmp_path, f"root {root}; dav_methods PUT;"),
        listen=f"ssl; ssl_certificate {certificate}; ssl_certificate_key {key}",
    )
    running = proxy(
        forward(
            server.replace("tcp://127.0.0.1", "tls://localhost"),
            bind="tls://localhost:0",
            listener=f'tls = {{ certificate = "{certificate}", key = "{key}" }}',
            upstream=f'tls = {{ ca = "{certificates.ca}" }}',
        )
    )
    url = f"https://localhost:{running.port('in')}/"
    curl = "curl", "-sS", "--fail", "--http1.1", "--cacert", str(certificates.ca)
    tools.run(*curl, "-H", "Expect:", "-T", str(path), f"{url}up.bin")
    assert hashlib.sha256((root / "up.bin").read_bytes()).hexdigest() == checksum
    tools.run(*curl, "-o", str(tmp_path / "down.bin"), f"{url}large.bin")
    assert hashlib.sha256((tmp_path / "down.bin").read_bytes()).hexdigest() == checksum
