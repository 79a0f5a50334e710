"""TLS sessions resumed: by openssl and Python as clients, with nginx and HAProxy as servers."""

from __future__ import annotations

import signal
import ssl
from pathlib import Path

import pytest

from tests.e2e.conftest import Certificates, Starter, Tools
from tests.e2e.running import Running, exactly, refusing
from tests.e2e.web import nginx, web

from .test_tls_terminated import echo

VERSIONS = ["1.2", "1.3"]


def s_client(tools: Tools, running: Running, version: str, *options: str) -> str:
    """Return the output of openssl s_client, whose connection stays open until data has arrived."""
    command = "openssl", "s_client", "-connect", f"127.0.0.1:{running.port('echo')}"
    flag = f"-tls{version.replace('.', '_')}"
    return tools.run(*command, flag, *options, stdin=b"hello\n").decode()


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("verified", [False, True], ids=["", "client certificates"])
def test_openssl_resumes_its_session(
    proxy: Starter,
    tools: Tools,
    certificates: Certificates,
    tmp_path: Path,
    version: str,
    verified: bool,
) -> None:
    more = f', client_ca = "{certificates.ca}"' if verified else ""
    running = proxy(echo(certificates, more=more, listener='timeouts = { inactivity = "200ms" }'))
    certificate, key = certificates.issue("client")
    shown = ("-cert", str(certificate), "-key", str(key)) if verified else ()
    session = str(tmp_path / "session.pem")
    first = s_client(tools, running, version, *shown, "-ign_eof", "-sess_out", session)
    assert f"New, TLSv{version}" in first
    again = s_client(tools, running, version, *shown, "-ign_eof", "-sess_in", session)
    assert f"Reused, TLSv{version}" in again
    assert "hello" in again


def test_openssl_reconnects(proxy: Starter, tools: Tools, certificates: Certificates) -> None:
    running = proxy(echo(certificates))
    shown = s_client(tools, running, "1.2", "-reconnect")
    assert shown.count("Reused, TLSv1.2") == 5


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_python_resumes_until_a_reload(
    proxy: Starter, certificates: Certificates, version: ssl.TLSVersion
) -> None:
    running = proxy(echo(certificates))
    context = ssl.create_default_context(cafile=str(certificates.ca))
    context.maximum_version = version

    def reused(session: ssl.SSLSession | None) -> tuple[bool | None, ssl.SSLSession | None]:
        with context.wrap_socket(
            running.connect("echo"), server_hostname="localhost", session=session
        ) as client:
            client.sendall(b"hello")
            assert exactly(client, 5) == b"hello"
            return client.session_reused, client.session

    first, session = reused(None)
    assert first is False
    again, session = reused(session)
    assert again is True
    running.signal(signal.SIGHUP)
    running.wait_for("reloaded")
    assert reused(session)[0] is False


def haproxy(tools: Tools, directory: Path, certificate: Path, key: Path, version: str) -> str:
    """Start HAProxy with one version of TLS; its response shows whether a session was resumed."""
    uri = refusing()
    only = f"ssl-min-ver TLSv{version} ssl-max-ver TLSv{version}"
    pem = directory / "both.pem"
    pem.write_bytes(certificate.read_bytes() + key.read_bytes())
    (directory / "haproxy.conf").write_text(f"""
defaults
    mode http
    timeout client 5s
    timeout connect 5s
    timeout server 5s
frontend in
    bind {uri.removeprefix("tcp://")} ssl crt {pem} {only}
    http-after-response set-header connection close
    http-request return status 200 content-type text/plain lf-string "%[ssl_fc_is_resumed]"
""")
    tools.serve(uri, "haproxy", "-db", "-f", str(directory / "haproxy.conf"))
    return uri


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("server", ["nginx", "haproxy"])
def test_connections_to_a_server_resume_its_session(
    proxy: Starter,
    tools: Tools,
    certificates: Certificates,
    tmp_path: Path,
    server: str,
    version: str,
) -> None:
    certificate, key = certificates.issue("localhost")
    if server == "nginx":
        shows = f"ssl; ssl_certificate {certificate}; ssl_certificate_key {key}"
        serves = (
            f"ssl_protocols TLSv{version}; keepalive_timeout 0;"
            'location / { return 200 "$ssl_session_reused"; }'
        )
        uri, new, old = nginx(tools, tmp_path, serves, shows), ".", "r"
    else:
        uri, new, old = haproxy(tools, tmp_path, certificate, key, version), "0", "1"
    uri = uri.replace("tcp://127.0.0.1", "tls://localhost")
    running = proxy(web(uri, upstream=f'tls = {{ ca = "{certificates.ca}" }}'))
    url = f"http://127.0.0.1:{running.port('in')}/"
    answers = [tools.run("curl", "-sS", url).decode() for _ in range(4)]
    assert answers == [new, old, old, old]
    running.signal(signal.SIGHUP)
    running.wait_for("reloaded")
    assert tools.run("curl", "-sS", url).decode() == new
