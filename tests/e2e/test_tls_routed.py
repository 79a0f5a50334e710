"""Routes by SNI and ALPN, with TLS clients of every kind, and beside HAProxy and nginx."""

from __future__ import annotations

import json
import socket
import ssl
from pathlib import Path

import pytest

from tests.e2e.conftest import Certificates, Starter, Tools
from tests.e2e.running import Running, all_of, eventually, free_port
from tests.protocols.client_hellos import (
    message,
    protocols,
    records,
    server_names,
    sized,
)

STREAM_MODULE = Path("/usr/lib/nginx/modules/ngx_stream_module.so")

BACKENDS = {"a": "a.example", "b": "x.b.example", "rest": "localhost"}
"""The name in the certificate of each server. It answers each request with its own name."""


def servers(proxy: Starter, certificates: Certificates) -> dict[str, int]:
    """Start an HTTPS server for each name; return their ports."""
    text = ""
    for name, host in BACKENDS.items():
        certificate, key = certificates.issue(host)
        text += f"""
[[listener]]
name = "{name}"
bind = "tls://127.0.0.1:0"
plugin = "http_proxy"
tls = {{ certificate = "{certificate}", key = "{key}", alpn = ["http/1.1", "acme-tls/1"] }}
[[listener.options.routes]]
answer = {{ body = "{name}" }}
"""
    running = proxy(text)
    return {name: running.port(name) for name in BACKENDS}


def routed(
    proxy: Starter, ports: dict[str, int], *, default: bool = True, listener: str = ""
) -> Running:
    rest = '[[listener.options.routes]]\nupstream = "rest"\n' if default else ""
    return proxy(f"""
[access_log]
file = "access.log"

[[listener]]
name = "front"
bind = "tcp://127.0.0.1:0"
plugin = "forward"
{listener}
[[listener.options.routes]]
alpn = "acme-tls/1"
upstream = "rest"
[[listener.options.routes]]
sni = ["a.example"]
upstream = "a"
[[listener.options.routes]]
sni = ["*.b.example", "xn--bcher-kva.example"]
upstream = "b"
{rest}
""" + "".join(
        f'[upstream.{name}]\nservers = ["tcp://127.0.0.1:{port}"]\n'
        for name, port in ports.items()
    ))  # fmt: skip


def answered_by(port: int, name: str | None, alpn: list[str] | None = None) -> str:
    """Return the name of the server that answers a client of this interpreter."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(alpn or ["http/1.1"])
    with (
        socket.create_connection(("127.0.0.1", port), 30) as plain,
        context.wrap_socket(plain, server_hostname=name) as stream,
    ):
        stream.sendall(b"GET / HTTP/1.1\r\nHost: any\r\nConnection: close\r\n\r\n")
        return all_of(stream).rpartition(b"\r\n\r\n")[2].decode()


NAMES = [
    ("a.example", "a"),
    ("A.Example", "a"),
    ("x.b.example", "b"),
    ("x.y.B.EXAMPLE", "b"),
    ("xn--bcher-kva.example", "b"),
    ("bücher.example", "b"),  # Python sends it in ASCII
    ("b.example", "rest"),
    ("other.example", "rest"),
    ("localhost", "rest"),
    (None, "rest"),
]


def test_each_name_has_its_server(
    proxy: Starter, certificates: Certificates, tmp_path: Path
) -> None:
    running = routed(proxy, servers(proxy, certificates))
    port = running.port("front")
    for name, server in (*NAMES, ("a.example.", "a"), ("x.b.example.", "b")):
        assert answered_by(port, name) == server, name
    found = tmp_path / "access.log"
    eventually(lambda: found.read_text().count("\n") > len(NAMES), "records")
    every = map(json.loads, found.read_text().splitlines())
    first = next(each for each in every if each["sni"] == "a.example")
    shown = {key: first[key] for key in ("sni", "alpn", "route", "upstream", "end")}
    assert shown == {
        "sni": "a.example", "alpn": "http/1.1", "route": "a.example", "upstream": "a", "end": "--"
    }  # fmt: skip


def test_openssl(proxy: Starter, tools: Tools, certificates: Certificates) -> None:
    running = routed(proxy, servers(proxy, certificates))
    client = "openssl", "s_client", "-connect", f"127.0.0.1:{running.port('front')}"
    for options, host in (
        (("-servername", "A.Example."), "a.example"),
        (("-servername", "q.b.example", "-tls1_2"), "x.b.example"),
        (("-servername", "a.example", "-alpn", "h2,acme-tls/1"), "localhost"),
        (("-noservername",), "localhost"),
        (("-servername", "a.example", "-split_send_frag", "512"), "a.example"),
    ):
        shown = tools.run(*client, *options, stdin=b"", status=None).decode()
        assert certificates.issue(host)[0].read_text() in shown, options


def test_an_alert_names_the_reason(
    proxy: Starter, tools: Tools, certificates: Certificates
) -> None:
    running = routed(proxy, servers(proxy, certificates), default=False)
    port = running.port("front")
    client = "openssl", "s_client", "-connect", f"127.0.0.1:{port}"
    shown = tools.run(*client, "-noservername", status=1).decode()
    assert "unrecognized name" in shown
    running.wait_for("no route for a client without server name; connection closed")
    with pytest.raises(ssl.SSLError, match=r"(?i)unrecognized.name"):
        answered_by(port, "other.example")
    running.wait_for('no route for server name "other.example"')
    shown = tools.run(
        *("curl", "-sv", "--connect-to", f"::127.0.0.1:{port}", "https://other.example/"),
        status=35,
    ).decode()
    assert "unrecognized name" in shown
    shown = tools.run(
        *("gnutls-cli", "--insecure", "-p", str(port), "--sni-hostname", "other.example"),
        "127.0.0.1",
        status=1,
    ).decode()
    assert "[112]" in shown


def test_curl_gnutls_java_go(
    proxy: Starter, tools: Tools, certificates: Certificates, tmp_path: Path
) -> None:
    running = routed(proxy, servers(proxy, certificates))
    port = running.port("front")
    to = "--connect-to", f"::127.0.0.1:{port}"
    for name, server in (("a.example", b"a"), ("x.b.example", b"b"), ("localhost", b"rest")):
        ca = "--cacert", str(certificates.ca)
        assert tools.run("curl", "-sS", *ca, *to, f"https://{name}/") == server

    gnutls = "gnutls-cli", "--insecure", "-p", str(port), "--print-cert"
    shown = tools.run(*gnutls, "--sni-hostname", "a.example", "127.0.0.1", status=None).decode()
    assert certificates.issue("a.example")[0].read_text().strip() in shown

    hosts = tmp_path / "hosts"
    hosts.write_text("127.0.0.1 a.example localhost\n")
    java = "keytool", f"-J-Djdk.net.hosts.file={hosts}", "-printcert", "-rfc", "-sslserver"
    for name in ("a.example", "localhost"):  # Java sends no name without a dot
        shown = tools.run(*java, f"{name}:{port}").decode().replace("\r", "")
        assert certificates.issue(name)[0].read_text().split("-----")[2] in shown, name

    go = free_port()
    (tmp_path / "Caddyfile").write_text(f"""
{{
    admin off
    auto_https off
}}
http://127.0.0.1:{go} {{
    reverse_proxy https://127.0.0.1:{port} {{
        transport http {{
            tls_server_name x.b.example
            tls_insecure_skip_verify
        }}
    }}
}}
""")
    tools.serve(
        f"tcp://127.0.0.1:{go}",
        *("env", f"HOME={tmp_path}", "caddy", "run", "--config", str(tmp_path / "Caddyfile")),
    )
    assert tools.run("curl", "-sS", f"http://127.0.0.1:{go}/") == b"b"


def test_a_browser(
    proxy: Starter, tools: Tools, certificates: Certificates, tmp_path: Path
) -> None:
    """Chromium shuffles its extensions, and sends a key share of ML-KEM, GREASE and ECH GREASE."""
    running = routed(proxy, servers(proxy, certificates))
    browser = (
        *("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--ignore-certificate-errors"),
        f"--user-data-dir={tmp_path / 'profile'}",
        f"--host-resolver-rules=MAP * 127.0.0.1:{running.port('front')}",
    )
    shown = tools.run(*browser, "--dump-dom", "https://q.b.example/")
    assert b">b<" in shown
    largest = max(
        record["bytes_up"]
        for line in (tmp_path / "access.log").read_text().splitlines()
        if (record := json.loads(line))["sni"] == "q.b.example"
    )
    assert largest > 1700, "a ClientHello with a post-quantum key share"


def test_beside_haproxy_and_nginx(
    proxy: Starter, tools: Tools, certificates: Certificates, tmp_path: Path
) -> None:
    """The three route alike, also a hello in several records, and one that comes in pieces."""
    ports = servers(proxy, certificates)
    ours = routed(proxy, ports).port("front")
    haproxy, nginx = free_port(), free_port()
    (tmp_path / "haproxy.cfg").write_text(f"""
defaults
    mode tcp
    timeout connect 30s
    timeout client 30s
    timeout server 30s
frontend front
    bind 127.0.0.1:{haproxy}
    tcp-request inspect-delay 30s
    tcp-request content accept if {{ req.ssl_hello_type 1 }}
    use_backend rest if {{ req.ssl_alpn acme-tls/1 }}
    use_backend a if {{ req.ssl_sni -i a.example }}
    use_backend b if {{ req.ssl_sni -i -m end .b.example }}
    use_backend b if {{ req.ssl_sni -i xn--bcher-kva.example }}
    default_backend rest
""" + "".join(
        f"backend {name}\n    server s 127.0.0.1:{port}\n" for name, port in ports.items()
    ))  # fmt: skip
    load = f"load_module {STREAM_MODULE};" if STREAM_MODULE.exists() else ""
    (tmp_path / "nginx.conf").write_text(f"""
{load}
daemon off;
pid {tmp_path}/nginx.pid;
error_log stderr;
events {{ }}
stream {{
    map $ssl_preread_server_name $by_name {{
        hostnames;
        a.example a;
        *.b.example b;
        xn--bcher-kva.example b;
        default rest;
    }}
    map $ssl_preread_alpn_protocols $chosen {{
        ~\\bacme-tls/1\\b rest;
        default $by_name;
    }}
{"".join(f"    upstream {name} {{ server 127.0.0.1:{port}; }}" for name, port in ports.items())}
    server {{
        listen 127.0.0.1:{nginx};
        ssl_preread on;
        proxy_pass $chosen;
    }}
}}
""")
    tools.serve(f"tcp://127.0.0.1:{haproxy}", "haproxy", "-db", "-f", str(tmp_path / "haproxy.cfg"))
    tools.serve(
        f"tcp://127.0.0.1:{nginx}",
        *("nginx", "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf")),
    )
    for name, server in NAMES:
        for port in (ours, haproxy, nginx):
            assert answered_by(port, name) == server, (name, port)
    for port in (ours, haproxy, nginx):
        assert answered_by(port, "a.example", ["h2", "acme-tls/1"]) == "rest"


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_the_name_is_in_the_proxy_header(proxy: Starter, version: str) -> None:
    hello = records(message(server_names(b"A.example"), protocols(b"h2")), [100])
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(30)
        tlvs = ', tlvs = ["alpn", "authority", "ssl"]' if version == "v2" else ""
        running = proxy(f"""
[[listener]]
name = "front"
bind = "tcp://127.0.0.1:0"
plugin = "forward"
[[listener.options.routes]]
upstream = "a"
[upstream.a]
servers = ["tcp://127.0.0.1:{server.getsockname()[1]}"]
proxy_protocol = {{ version = "{version}"{tlvs} }}
""")
        with socket.create_connection(("127.0.0.1", running.port("front")), 30) as client:
            for byte in hello[:-1]:
                client.sendall(bytes([byte]))
            client.sendall(hello[-1:])
            accepted, _ = server.accept()
            with accepted:
                accepted.settimeout(30)
                received = b""
                while not received.endswith(hello):
                    received += accepted.recv(65536)
    header = received.removesuffix(hello)
    if version == "v1":
        assert header.startswith(b"PROXY TCP4 127.0.0.1 127.0.0.1 ")
    else:
        fields = header[28:]
        assert fields == b"\x01" + sized(b"h2", 2) + b"\x02" + sized(b"A.example", 2)


@pytest.mark.parametrize(("sent", "received", "line"), [
    (b"GET / HTTP/1.1\r\n\r\n", b"", "the client does not begin with TLS"),
    (b"\x80\x2e\x01\0\x02" + bytes(43), bytes.fromhex("15030300020246"), "form of SSL 2.0"),
    (records(message(server_names(b"a", b"b"))), bytes.fromhex("1503030002022f"),
     "it has two server names"),
    (records(b"\x01" + sized(bytes(70_000), 3)),
     bytes.fromhex("15030300020216"), "it is longer than 65536 bytes"),
], ids=["http", "ssl2", "two names", "long"])  # fmt: skip
def test_bad_input_has_a_clear_line(
    proxy: Starter, sent: bytes, received: bytes, line: str
) -> None:
    running = routed(proxy, dict.fromkeys(BACKENDS, 1))
    with socket.create_connection(("127.0.0.1", running.port("front")), 30) as client:
        client.sendall(sent)
        assert all_of(client) == received
    running.wait_for(line)


def test_a_hello_that_is_cut_has_a_clear_line(proxy: Starter) -> None:
    running = routed(proxy, dict.fromkeys(BACKENDS, 1), listener='timeouts.handshake = "1s"')
    hello = records(message(server_names(b"a.example")))
    with socket.create_connection(("127.0.0.1", running.port("front")), 30) as client:
        client.sendall(hello[:60])
        assert all_of(client) == b""
    running.wait_for("no complete ClientHello came within 1s")
    with socket.create_connection(("127.0.0.1", running.port("front")), 30) as client:
        client.sendall(hello[:60])
    running.wait_for("the client has left after 60 bytes of its ClientHello")
