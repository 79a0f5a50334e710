"""HTTP over TLS, on either side."""

from __future__ import annotations

import re
import ssl
from pathlib import Path

import pytest

from tests.e2e.conftest import Certificates, Starter, Tools
from tests.e2e.running import Running, Server, all_of
from tests.e2e.web import GET, nginx, web


def terminating(certificates: Certificates) -> str:
    """The key `tls` of a listener with a certificate for localhost."""
    certificate, key = certificates.issue("localhost")
    return f'tls = {{ certificate = "{certificate}", key = "{key}", alpn = ["http/1.1"] }}'


@pytest.mark.parametrize("sides", ["client's", "server's", "both"])
def test_curl_and_nginx(
    proxy: Starter, tools: Tools, certificates: Certificates, tmp_path: Path, sides: str
) -> None:
    certificate, key = certificates.issue("localhost")
    serves = 'location / { return 200 "$scheme $http_x_forwarded_proto\n"; }'
    shows = f"ssl; ssl_certificate {certificate}; ssl_certificate_key {key}"
    server = nginx(tools, tmp_path, serves, "" if sides == "client's" else shows)
    if sides != "client's":
        server = server.replace("tcp://127.0.0.1", "tls://localhost")
    running = proxy(
        web(
            server,
            bind="tcp://127.0.0.1:0" if sides == "server's" else "tls://127.0.0.1:0",
            listener="" if sides == "server's" else terminating(certificates),
            upstream="" if sides == "client's" else f'tls = {{ ca = "{certificates.ca}" }}',
        )
    )
    scheme = "http" if sides == "server's" else "https"
    url = f"{scheme}://localhost:{running.port('in')}/"
    # curl's error texts depend on its version; the output of -w does not
    data = tools.run(
        *("curl", "-4", "-sS", "--cacert", str(certificates.ca), url, url),
        *("-w", "%{num_connects} connections, HTTP/%{http_version}\n"),
    ).decode()
    behind = "http" if sides == "client's" else "https"
    assert data.count(f"{behind} {scheme}\n") == 2
    assert "1 connections, HTTP/1.1\n" in data
    assert "0 connections, HTTP/1.1\n" in data


def test_plaintext_on_a_port_for_tls_reaches_no_server(
    proxy: Starter, certificates: Certificates
) -> None:
    with Server() as server:
        server.settimeout(0)
        running = proxy(
            web(server.uri, bind="tls://127.0.0.1:0", listener=terminating(certificates))
        )
        with running.connect("in") as client:
            client.sendall(GET)
            assert b"HTTP/1.1 200" not in all_of(client)
        running.wait_for("the peer sent plain HTTP, not TLS")
        with pytest.raises(BlockingIOError):
            server.accept()


def test_an_untrusted_server_gets_no_request(
    proxy: Starter,
    tools: Tools,
    certificates: Certificates,
    untrusted: Certificates,
    tmp_path: Path,
) -> None:
    certificate, key = untrusted.issue("localhost")
    shows = f"ssl; ssl_certificate {certificate}; ssl_certificate_key {key}"
    server = nginx(tools, tmp_path, "return 200;", shows).replace(
        "tcp://127.0.0.1", "tls://localhost"
    )
    running = proxy(web(server, upstream=f'tls = {{ ca = "{certificates.ca}" }}'))
    data = tools.run("curl", "-sSi", f"http://127.0.0.1:{running.port('in')}/").decode()
    assert data.startswith("HTTP/1.1 502 ")
    assert "Proxy-Status: vcproxy; error=tls_certificate_error; " in data
    assert "unknown CA" not in data, "what servers are and say is not for clients"
    running.wait_for("certificate is refused: unknown CA")


def conversation(running: Running, certificates: Certificates) -> list[bytes]:
    """Send requests in records of any size on one connection; return the responses without
    dates."""
    context = ssl.create_default_context(cafile=str(certificates.ca))
    small = b"GET /small HTTP/1.1\r\nHost: localhost\r\n\r\n"
    large = small.replace(b"small", b"large")
    answers = []
    with context.wrap_socket(running.connect("in"), server_hostname="localhost") as client:
        file = client.makefile("rb")
        for requests, pieces in (
            (1, [small]),
            (1, [small]),
            (1, [small]),
            (1, [small[:5], small[5:]]),
            (1, [small[at : at + 1] for at in range(len(small))]),
            (2, [small + small]),
            (3, [small + small[:20], small[20:] + small]),
            (1, [large]),
            (1, [small]),
            (2, [large + small]),
            (1, [small]),
        ):
            for piece in pieces:
                client.sendall(piece)
            for _ in range(requests):
                head = b""
                while not head.endswith(b"\r\n\r\n"):
                    head += file.readline()
                length = re.search(rb"Content-Length: (\d+)", head)
                assert length is not None, head
                body = file.read(int(length[1]))
                answers.append(re.sub(rb"Date: .*?\r\n", b"", head) + body)
    return answers


@pytest.mark.parametrize("secured", [False, True], ids=["plain server", "server with TLS"])
def test_the_direct_path_and_the_ordinary_one_answer_alike(
    proxy: Starter, tools: Tools, certificates: Certificates, tmp_path: Path, secured: bool
) -> None:
    certificate, key = certificates.issue("localhost")
    (tmp_path / "small").write_bytes(b"s" * 1024)
    (tmp_path / "large").write_bytes(bytes(range(256)) * 4096)
    shows = f"ssl; ssl_certificate {certificate}; ssl_certificate_key {key}" if secured else ""
    server = nginx(tools, tmp_path, f"root {tmp_path};", shows)
    if secured:
        server = server.replace("tcp://127.0.0.1", "tls://localhost")
    config = web(
        server,
        bind="tls://127.0.0.1:0",
        listener=terminating(certificates),
        upstream=f'tls = {{ ca = "{certificates.ca}" }}' if secured else "",
    )
    direct, ordinary = (
        conversation(proxy(config + f"\n[http]\ndirect = {enabled}\n"), certificates)
        for enabled in ("true", "false")
    )
    assert direct == ordinary
    assert len(direct) == 15
    assert direct[-1].endswith(b"s" * 1024)
    assert direct[10].endswith(bytes(range(256)) * 4096)
