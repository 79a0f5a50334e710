"""TLS clients of a terminating listener: OpenSSL's s_client, and clients without TLS."""

from __future__ import annotations

import socket
import ssl
import time

import pytest

from tests.e2e.conftest import Certificates, Starter, Tools
from tests.e2e.running import Running, all_of, exactly, reset


def echo(certificates: Certificates, *, more: str = "", listener: str = "") -> str:
    """A configuration that echoes over TLS as localhost; more keys for `tls`."""
    certificate, key = certificates.issue("localhost")
    return f"""
[[listener]]
name = "echo"
bind = "tls://127.0.0.1:0"
plugin = "echo"
tls = {{ certificate = "{certificate}", key = "{key}"{more} }}
{listener}
"""


def s_client(
    tools: Tools, running: Running, *options: str, status: int | None = 0, say: bytes = b"hello\n"
) -> str:
    """Return the output of openssl s_client, after sending data and receiving it back."""
    command = "openssl", "s_client", "-connect", f"127.0.0.1:{running.port('echo')}"
    return tools.run(*command, *options, stdin=say, status=status).decode()


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_each_version(
    proxy: Starter, tools: Tools, certificates: Certificates, version: str
) -> None:
    running = proxy(echo(certificates))
    s_client(  # prints that the certificate was verified, and the TLS version
        *(tools, running, f"-tls{version.replace('.', '_')}", "-CAfile", str(certificates.ca)),
        *("-verify_return_error", "-verify_hostname", "localhost"),
    )


def test_an_old_version_is_refused_and_logged(
    proxy: Starter, tools: Tools, certificates: Certificates
) -> None:
    running = proxy(echo(certificates))
    s_client(tools, running, "-tls1_1", "-cipher", "ALL:@SECLEVEL=0", status=1)
    running.wait_for("no TLS version in common with the peer")


def test_the_server_name_selects_the_certificate(
    proxy: Starter, tools: Tools, certificates: Certificates
) -> None:
    one, wild = certificates.issue("b.example"), certificates.issue("*.c.example")
    running = proxy(
        echo(
            certificates,
            more=f', names = {{ "b.example" = {{ certificate = "{one[0]}", key = "{one[1]}" }}, '
            f'"*.c.example" = {{ certificate = "{wild[0]}", key = "{wild[1]}" }} }}',
        )
    )
    for server_name, shown in (
        ("b.example", "b.example"),
        ("B.Example", "b.example"),
        ("b.example.", "b.example"),
        ("any.c.example.", "*.c.example"),
        ("any.c.example", "*.c.example"),
        ("two.deep.c.example", "localhost"),
        ("unknown.example", "localhost"),
    ):
        pem = certificates.issue(shown)[0].read_text()
        assert pem in s_client(tools, running, "-servername", server_name), server_name
    pem = certificates.issue("localhost")[0].read_text()
    assert pem in s_client(tools, running, "-noservername")


def test_the_server_selects_the_protocol(proxy: Starter, certificates: Certificates) -> None:
    running = proxy(echo(certificates, more=', alpn = ["http/1.1", "echo"]'))
    for offered, chosen in (
        (["echo", "http/1.1"], "http/1.1"),
        (["echo"], "echo"),
        (["h2"], None),
        ([], None),
    ):
        context = ssl.create_default_context(cafile=str(certificates.ca))
        context.set_alpn_protocols(offered)
        with (
            running.connect("echo") as plain,
            context.wrap_socket(plain, server_hostname="localhost") as client,
        ):
            assert client.selected_alpn_protocol() == chosen


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_client_certificates_are_required(
    proxy: Starter,
    tools: Tools,
    certificates: Certificates,
    untrusted: Certificates,
    version: str,
) -> None:
    running = proxy(
        echo(
            certificates,
            more=f', client_ca = "{certificates.ca}"',
            listener='timeouts = { inactivity = "200ms" }',  # s_client waits for the server's end
        )
    )

    def shown(by: Certificates) -> tuple[str, ...]:
        certificate, key = by.issue("client")
        return "-cert", str(certificate), "-key", str(key)

    assert "hello" in s_client(tools, running, version, *shown(certificates), "-ign_eof")
    s_client(tools, running, version, "-ign_eof", status=1)
    running.wait_for("echo 127.0.0.1:.*the peer sent no certificate, and one is required")
    s_client(tools, running, version, *shown(untrusted), "-ign_eof", status=1)
    running.wait_for("the peer's certificate is refused: unknown CA")


def test_plaintext_is_logged_and_closed(proxy: Starter, certificates: Certificates) -> None:
    running = proxy(echo(certificates))
    for payload, words in (
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "the peer sent plain HTTP, not TLS"),
        (b"EHLO somebody.example\r\n", "the peer does not speak TLS"),
    ):
        with running.connect("echo") as client:
            client.sendall(payload)
            all_of(client)
            running.wait_for(f"INFO echo 127.0.0.1:{client.getsockname()[1]}: {words}")


def test_a_stalled_handshake_is_closed_at_its_deadline(
    proxy: Starter, certificates: Certificates
) -> None:
    running = proxy(echo(certificates, listener='timeouts = { handshake = "300ms" }'))
    began = time.monotonic()
    with (
        running.connect("echo") as silent,
        running.connect("echo") as slow,
    ):
        slow.sendall(b"\x16\x03\x01\x02")  # the beginning of a ClientHello
        all_of(silent)
        all_of(slow)
    assert 0.25 < time.monotonic() - began < 5
    running.wait_for("connection timed out in the TLS handshake", times=2)


def test_a_client_in_excess_has_no_handshake(proxy: Starter, certificates: Certificates) -> None:
    running = proxy(echo(certificates, listener="limits = { max_per_client = 1 }"))
    stalled = running.connect("echo")
    with running.connect("echo") as refused:
        assert refused.recv(1) == b""
    stalled.close()


def test_a_client_that_leaves_during_the_handshake_leaves_no_descriptor(
    proxy: Starter, certificates: Certificates
) -> None:
    running = proxy(echo(certificates))
    for number in range(200):
        client = running.connect("echo")
        client.sendall(b"\x16\x03\x01\x02\x00\x01\x00"[: number % 8])
        if number % 2:
            reset(client)
        else:
            client.close()


def test_an_end_without_close_notify_is_an_error(
    proxy: Starter, certificates: Certificates
) -> None:
    running = proxy(echo(certificates))
    trusting = ssl.create_default_context(cafile=str(certificates.ca))
    with trusting.wrap_socket(running.connect("echo"), server_hostname="localhost") as client:
        client.sendall(b"cut off")
        exactly(client, 7)
        socket.socket.shutdown(client, socket.SHUT_WR)
        running.wait_for("the stream was truncated: it ended without close_notify")
