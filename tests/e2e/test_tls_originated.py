"""Servers over TLS: OpenSSL's s_server, whose certificate is verified by default."""

from __future__ import annotations

import pytest

from tests.e2e.conftest import Certificates, Starter, Tools
from tests.e2e.running import Server, all_of, forward, refusing

REVERSED = b"olleh\n"


@pytest.fixture
def s_server(tools: Tools, certificates: Certificates) -> str:
    """An `openssl s_server` that replies to each line with its reverse, as localhost."""
    certificate, key = certificates.issue("localhost")
    uri = refusing()
    port = uri.rpartition(":")[2]
    tools.serve(
        uri,
        *("openssl", "s_server", "-accept", port, "-rev", "-quiet"),
        *("-cert", str(certificate), "-key", str(key)),
    )
    return f"tls://localhost:{port}"


def test_a_server_that_proves_its_name_is_used(
    proxy: Starter, s_server: str, certificates: Certificates
) -> None:
    running = proxy(forward(s_server, upstream=f'tls = {{ ca = "{certificates.ca}" }}'))
    with running.connect("in") as client:
        client.sendall(b"hello\n")
        assert client.recv(100) == REVERSED


@pytest.mark.parametrize("authority", ["the system's", "a stranger's"])
def test_an_unknown_authority_is_refused_and_logged(
    proxy: Starter, s_server: str, untrusted: Certificates, authority: str
) -> None:
    mine = f'tls = {{ ca = "{untrusted.ca}" }}' if authority == "a stranger's" else ""
    running = proxy(forward(s_server, upstream=mine))
    with running.connect("in") as client:
        client.sendall(b"hello\n")
        assert all_of(client) == b""
    running.wait_for(
        f"server {s_server} failed: .*certificate is refused: unknown CA.*no server is left"
    )


def test_a_name_that_is_not_the_servers_is_refused(
    proxy: Starter, s_server: str, certificates: Certificates
) -> None:
    other = s_server.replace("localhost", "127.0.0.1")
    running = proxy(forward(other, upstream=f'tls = {{ ca = "{certificates.ca}" }}'))
    with running.connect("in") as client:
        assert all_of(client) == b""
    running.wait_for("certificate is refused: .*127.0.0.1")


def test_verification_can_be_switched_off(proxy: Starter, s_server: str) -> None:
    running = proxy(forward(s_server, upstream="tls = { verify = false }"))
    with running.connect("in") as client:
        client.sendall(b"hello\n")
        assert client.recv(100) == REVERSED


def test_a_server_without_tls_is_logged(proxy: Starter) -> None:
    with Server() as server:
        running = proxy(forward(server.uri.replace("tcp:", "tls:")))
        with running.connect("in") as client, server.next() as accepted:
            accepted.sendall(b"220 mail.example ESMTP\r\n")
            assert all_of(client) == b""
    running.wait_for("failed: the peer does not speak TLS; no server is left")


def test_a_servers_handshake_has_the_connect_timeout(proxy: Starter) -> None:
    with Server() as server:
        running = proxy(
            forward(server.uri.replace("tcp:", "tls:"), listener='timeouts = { connect = "200ms" }')
        )
        with running.connect("in") as client, server.next():
            assert all_of(client) == b""
    running.wait_for("failed: connection timed out; no server is left")
