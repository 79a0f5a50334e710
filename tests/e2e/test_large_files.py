"""Large files both ways, by programs that nobody here wrote, compared by their checksums."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from tests.e2e.conftest import Certificates, Starter, Tools
from tests.e2e.running import forward, refusing

SIZE = 64 << 20

Large = tuple[Path, str]


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Large:
    """A file that does not compress or repeat, and its checksum."""
    path = tmp_path_factory.mktemp("large") / "large.bin"
    content = os.urandom(SIZE)
    path.write_bytes(content)
    return path, hashlib.sha256(content).hexdigest()


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
    # It answers only when the client has ended: its checksum, then the file itself.
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
    assert (running.pipes() > 1) == bridged  # one is its standard error


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
    server = refusing()
    root = tmp_path / "root"
    root.mkdir(mode=0o777)
    (root / "large.bin").symlink_to(path)
    (tmp_path / "nginx.conf").write_text(f"""
        daemon off; master_process off; pid {tmp_path}/nginx.pid; error_log {tmp_path}/nginx.log;
        events {{}}
        http {{
            access_log off; client_max_body_size 0;
            client_body_temp_path {tmp_path}/body; proxy_temp_path {tmp_path}/1;
            fastcgi_temp_path {tmp_path}/2; uwsgi_temp_path {tmp_path}/3;
            scgi_temp_path {tmp_path}/4;
            server {{
                listen {server.removeprefix("tcp://")} ssl;
                ssl_certificate {certificate}; ssl_certificate_key {key};
                root {root}; dav_methods PUT;
            }}
        }}
    """)
    tools.serve(server, "nginx", "-c", str(tmp_path / "nginx.conf"), "-p", str(tmp_path))
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
