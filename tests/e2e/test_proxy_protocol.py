"""PROXY headers from and to HAProxy, nginx, stunnel, hitch, varnish, Apache and curl."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Certificates, Starter, Tools
from tests.e2e.running import Server, connect, eventually, exactly, forward, free_port
from tests.proxy_protocol.headers import V4
from vcproxy.proxy_protocol.encoder import LOCAL, encode_v2
from vcproxy.proxy_protocol.header import ProxyHeader
from vcproxy.proxy_protocol.parser import header_size, parse

WHO = '''
import json

from vcproxy.api import Message, Session, State, lines


class Who(Session):
    """Answers a line with what a load balancer has announced; a blank line ends it."""

    needs_upstream = False
    framing = lines()
    READING, CLOSED = State(initial=True), State(final=True)

    @READING.on(Message, to=(CLOSED,))
    def ask(self, message):
        if message.data.strip():
            return None
        header, tls = self.proxied, self.proxied and self.proxied.tls
        body = json.dumps({
            "client": self.client_address,
            "peer": self.client.real_peer_address,
            "version": header and header.version,
            "local": header and header.local,
            "protocol": header and header.protocol,
            "port": header and header.source_port,
            "target": header and header.target,
            "alpn": header and header.alpn,
            "authority": header and header.authority,
            "id": header and header.unique_id and header.unique_id.decode(),
            "checked": bool(header and header.tlv(3)),
            "tls": tls and tls._asdict(),
        }).encode()
        self.answer(b"HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n" % len(body) + body)
        return self.CLOSED
'''


@pytest.fixture
def who(proxy: Starter, tmp_path: Path) -> int:
    """The port of a proxy that answers what it was announced, to load balancers of this host."""
    (tmp_path / "who.py").write_text(WHO)
    running = proxy("""
[[listener]]
name = "who"
bind = "tcp://127.0.0.1:0"
plugin = "who.py"
proxy_protocol = { from = ["127.0.0.0/8"] }
""")
    return running.port("who")


def ask(sock: socket.socket) -> dict[str, Any]:
    """Send an empty request and return the answer."""
    sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    whole = b""
    while piece := sock.recv(65536):
        whole += piece
    found: dict[str, Any] = json.loads(whole.partition(b"\r\n\r\n")[2])
    return found


def asked_through(port: int) -> tuple[dict[str, Any], int]:
    """Ask through a load balancer at a port; return the answer and the client's own port."""
    with connect(f"tcp://127.0.0.1:{port}") as sock:
        own = sock.getsockname()[1]
        return ask(sock), own


def announced(port: int, own: int, **others: object) -> Mapping[str, object]:
    """What a client of 127.0.0.1 with its own port is announced as, by a balancer at a port."""
    return {
        "client": "127.0.0.1",
        "peer": "127.0.0.1",
        "local": False,
        "protocol": "tcp4",
        "port": own,
        "target": f"127.0.0.1:{port}",
        **others,
    }


# -- others announce clients to this proxy ---------------------------------------------------


def haproxy(tools: Tools, folder: Path, text: str) -> None:
    """Start HAProxy with these sections, and wait for the first of its ports."""
    (folder / "haproxy.cfg").write_text(
        "defaults\n mode tcp\n timeout connect 5s\n timeout client 10s\n timeout server 10s\n"
        + text
    )
    port = text.partition("127.0.0.1:")[2].split()[0]
    tools.serve(f"tcp://127.0.0.1:{port}", "haproxy", "-db", "-f", str(folder / "haproxy.cfg"))


@pytest.mark.parametrize("version", ["", "-v2"])
def test_haproxy_announces(who: int, tools: Tools, tmp_path: Path, version: str) -> None:
    port = free_port()
    haproxy(tools, tmp_path, f"listen l\n bind 127.0.0.1:{port}\n"
            f" server s 127.0.0.1:{who} send-proxy{version}\n")  # fmt: skip
    found, own = asked_through(port)
    expected = announced(port, own, version=2 if version else 1)
    assert {key: found[key] for key in expected} == expected


def test_haproxy_announces_with_fields(
    who: int, tools: Tools, tmp_path: Path, certificates: Certificates
) -> None:
    port = free_port()
    certificate, key = certificates.issue("localhost")
    pem = tmp_path / "both.pem"
    pem.write_bytes(certificate.read_bytes() + key.read_bytes())
    haproxy(tools, tmp_path, f"listen l\n bind 127.0.0.1:{port} ssl crt {pem} alpn http/1.1\n"
            f" unique-id-format id-%pid\n"
            f" server s 127.0.0.1:{who} send-proxy-v2 proxy-v2-options "
            "ssl,cert-cn,ssl-cipher,crc32c,unique-id,authority\n")  # fmt: skip
    url = f"https://localhost:{port}/"
    out = tools.run("curl", "-sS", "--cacert", str(certificates.ca), url)
    found = json.loads(out)
    assert found["client"] == "127.0.0.1"
    assert found["checked"]
    assert found["id"].startswith("id-")
    assert found["authority"] == "localhost"
    assert (found["tls"]["encrypted"], found["tls"]["verified"]) == (True, False)
    assert found["tls"]["version"] == "TLSv1.3"
    assert found["tls"]["cipher"].startswith("TLS_AES")


def test_haproxy_checks_with_local(who: int, tools: Tools, tmp_path: Path) -> None:
    port, stats = free_port(), tmp_path / "stats"
    haproxy(tools, tmp_path, f"listen l\n bind 127.0.0.1:{port}\n"
            f" server s 127.0.0.1:{who} send-proxy-v2 check-send-proxy check inter 100ms\n"
            f"global\n stats socket {stats}\n")  # fmt: skip
    found, _ = asked_through(port)
    assert found["local"] is False


def test_haproxys_clients_at_a_unix_socket_are_local(
    who: int, tools: Tools, tmp_path: Path
) -> None:
    port = free_port()
    haproxy(tools, tmp_path, f"listen l\n bind 127.0.0.1:{port}\n bind unix@{tmp_path}/front\n"
            f" server s 127.0.0.1:{who} send-proxy-v2\n")  # fmt: skip
    front = tmp_path / "front"  # haproxy binds it under another name, and renames it last
    eventually(front.exists, "haproxy has renamed its socket")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(10)
        sock.connect(str(front))
        found = ask(sock)
    assert (found["local"], found["client"]) == (True, "127.0.0.1")


def test_nginx_stream_announces(who: int, tools: Tools, tmp_path: Path) -> None:
    port = free_port()
    stream(tools, tmp_path, port, f"listen 127.0.0.1:{port}; proxy_pass 127.0.0.1:{who};"
           " proxy_protocol on;")  # fmt: skip
    found, own = asked_through(port)
    expected = announced(port, own, version=1)
    assert {key: found[key] for key in expected} == expected


def test_stunnel_announces(
    who: int, tools: Tools, tmp_path: Path, certificates: Certificates
) -> None:
    port = free_port()
    certificate, key = certificates.issue("localhost")
    (tmp_path / "stunnel.conf").write_text(
        f"foreground = yes\npid =\n[s]\naccept = 127.0.0.1:{port}\nconnect = 127.0.0.1:{who}\n"
        f"protocol = proxy\ncert = {certificate}\nkey = {key}\n"
    )
    tools.serve(f"tcp://127.0.0.1:{port}", "stunnel", str(tmp_path / "stunnel.conf"))
    url = f"https://localhost:{port}/"
    found = json.loads(tools.run("curl", "-4sS", "--cacert", str(certificates.ca), url))
    assert (found["version"], found["client"]) == (1, "127.0.0.1")
    assert found["target"] == f"127.0.0.1:{port}"


@pytest.mark.parametrize("version", [1, 2])
def test_hitch_announces(
    who: int, tools: Tools, tmp_path: Path, certificates: Certificates, version: int
) -> None:
    port = free_port()
    certificate, key = certificates.issue("localhost")
    (tmp_path / "both.pem").write_bytes(key.read_bytes() + certificate.read_bytes())
    (tmp_path / "hitch.conf").write_text(
        f'frontend = "[127.0.0.1]:{port}"\nbackend = "[127.0.0.1]:{who}"\n'
        f'pem-file = "{tmp_path}/both.pem"\nwrite-proxy-v{version} = on\nworkers = 1\n'
        'alpn-protos = "http/1.1"\n'
        + ('user = "nobody"\ngroup = "nogroup"\n' if os.geteuid() == 0 else "")  # it insists
    )
    tools.serve(f"tcp://127.0.0.1:{port}", "hitch", f"--config={tmp_path}/hitch.conf")
    url = f"https://localhost:{port}/"
    found = json.loads(tools.run("curl", "-4sS", "--cacert", str(certificates.ca), url))
    assert (found["version"], found["client"]) == (version, "127.0.0.1")
    assert found["target"] == f"127.0.0.1:{port}"
    if version == 2:
        assert found["alpn"] == "http/1.1"


def varnish(tools: Tools, folder: Path, port: int, backend: str, listen: str = "HTTP") -> None:
    """Start varnish with a backend."""
    (folder / "default.vcl").write_text(
        f"vcl 4.1;\nbackend default {{ {backend} }}\n"
        'sub vcl_recv { if (req.url == "/who") { return (synth(200)); } return (pass); }\n'
        'sub vcl_synth { set resp.body = "" + client.ip + " " + server.ip; return (deliver); }\n'
    )
    tools.serve(
        f"tcp://127.0.0.1:{port}", "varnishd", "-F", "-n", str(folder / "varnish"),
        "-a", f"127.0.0.1:{port},{listen}", "-f", str(folder / "default.vcl"), "-j", "none",
    )  # fmt: skip


@pytest.mark.parametrize("version", [1, 2])
def test_varnish_announces(who: int, tools: Tools, tmp_path: Path, version: int) -> None:
    port = free_port()
    varnish(tools, tmp_path, port,
            f'.host = "127.0.0.1"; .port = "{who}"; .proxy_header = {version};')  # fmt: skip
    with connect(f"tcp://127.0.0.1:{port}") as sock:
        own = sock.getsockname()[1]
        sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        whole = b""
        while piece := sock.recv(65536):
            whole += piece
    found = json.loads(whole.partition(b"\r\n\r\n")[2])
    expected = announced(port, own, version=version)
    assert {key: found[key] for key in expected} == expected


def test_curl_announces(who: int, tools: Tools) -> None:
    found = json.loads(tools.run("curl", "-sS", "--haproxy-protocol", f"http://127.0.0.1:{who}/"))
    assert (found["version"], found["client"]) == (1, "127.0.0.1")


# -- this proxy announces clients to others --------------------------------------------------


def stream(tools: Tools, folder: Path, port: int, *servers: str) -> None:
    """Start nginx's stream module with these servers."""
    modules = "/usr/lib/nginx/modules/ngx_stream_module.so"
    load = f"load_module {modules};" if Path(modules).exists() else ""
    inside = "".join(f"server {{ {each} }}" for each in servers)
    (folder / "stream.conf").write_text(
        f"{load} daemon off; master_process off; pid {folder}/stream.pid;"
        f"error_log {folder}/stream.log; events {{}} stream {{ {inside} }}"
    )
    tools.serve(
        f"tcp://127.0.0.1:{port}", "nginx", "-c", f"{folder}/stream.conf", "-p", str(folder)
    )


CLIENT = "127.0.0.9"
"""The address of clients: another one than that of this proxy."""


def through(proxy: Starter, port: int, line: str, http: bool = False) -> tuple[bytes, int]:
    """Ask a server through this proxy; return its response and the client's own port."""
    text = forward(f"tcp://127.0.0.1:{port}", upstream=line)
    running = proxy(text.replace('"forward"', '"http_proxy"') if http else text)
    place = "127.0.0.1", running.port("in")
    with socket.create_connection(place, 10, source_address=(CLIENT, 0)) as sock:
        own = sock.getsockname()[1]
        sock.sendall(b"GET /who HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        whole = b""
        while piece := sock.recv(65536):
            whole += piece
    return whole, own


LINES = ['proxy_protocol = "v1"', 'proxy_protocol = "v2"',
         'proxy_protocol = { version = "v2", tlvs = ["unique-id", "crc32c"] }']  # fmt: skip


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("http", [False, True], ids=["tcp", "http"])
def test_haproxy_takes_it(
    proxy: Starter, tools: Tools, tmp_path: Path, line: str, http: bool
) -> None:
    port = free_port()
    haproxy(tools, tmp_path, f"frontend f\n mode http\n bind 127.0.0.1:{port} accept-proxy\n"
            ' http-request return status 200 content-type text/plain lf-string '
            '"%[src] %[src_port] %[dst]"\n')  # fmt: skip
    answer, own = through(proxy, port, line, http)
    assert answer.endswith(f"\n{CLIENT} {own} 127.0.0.1".encode())


@pytest.mark.parametrize("line", LINES)
def test_nginx_takes_it(proxy: Starter, tools: Tools, tmp_path: Path, line: str) -> None:
    from tests.e2e.web import nginx

    serves = 'location / { return 200 "$proxy_protocol_addr $proxy_protocol_port"; }'
    uri = nginx(tools, tmp_path, serves, "proxy_protocol")
    answer, own = through(proxy, int(uri.rpartition(":")[2]), line, http=True)
    assert answer.endswith(f"\n{CLIENT} {own}".encode())


@pytest.mark.parametrize("line", LINES)
def test_nginx_stream_takes_it(proxy: Starter, tools: Tools, tmp_path: Path, line: str) -> None:
    port = free_port()
    with Server() as behind:
        stream(tools, tmp_path, port,
               f"listen 127.0.0.1:{port} proxy_protocol; proxy_protocol on;"
               f"proxy_pass {behind.uri.removeprefix('tcp://')};")  # fmt: skip
        running = proxy(forward(f"tcp://127.0.0.1:{port}", upstream=line))
        with connect(f"tcp://127.0.0.1:{running.port('in')}") as client:
            own = client.getsockname()[1]
            client.sendall(b"hello")
            while True:  # the first connections are those of `serve`, which sends nothing
                with behind.next() as server:
                    first = server.recv(6)
                    if first:
                        whole = first
                        while not whole.endswith(b"hello"):
                            whole += server.recv(200)
                        break
    parsed = parse(whole)
    assert parsed is not None
    # nginx announces the address of its own client, and not the one that was announced to it.
    assert parsed.header.source == "127.0.0.1"
    assert parsed.header.source_port != own
    assert whole[parsed.size :] == b"hello"


@pytest.mark.parametrize("line", LINES)
def test_varnish_takes_it(proxy: Starter, tools: Tools, tmp_path: Path, line: str) -> None:
    port = free_port()
    varnish(tools, tmp_path, port, '.host = "127.0.0.1"; .port = "1";', "PROXY")
    answer, _ = through(proxy, port, line, http=True)
    assert answer.endswith(f"\n{CLIENT} 127.0.0.1".encode())


@pytest.mark.parametrize("line", LINES)
def test_apache_takes_it(proxy: Starter, tools: Tools, tmp_path: Path, line: str) -> None:
    tools.require("apache2")
    port, modules = free_port(), "/usr/lib/apache2/modules"
    (tmp_path / "apache.conf").write_text(f"""
ServerName a
Listen 127.0.0.1:{port}
PidFile {tmp_path}/apache.pid
Mutex file:{tmp_path}
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule remoteip_module {modules}/mod_remoteip.so
LoadModule headers_module {modules}/mod_headers.so
ErrorLog {tmp_path}/apache.log
RemoteIPProxyProtocol On
DocumentRoot {tmp_path}
Header always set X-Client "expr=%{{REMOTE_ADDR}}"
""")
    tools.serve(f"tcp://127.0.0.1:{port}", "apache2", "-X", "-f", f"{tmp_path}/apache.conf")
    answer, _ = through(proxy, port, line, http=True)
    assert b"404" in answer.partition(b"\r\n")[0]
    assert f"X-Client: {CLIENT}\r\n".encode() in answer


# -- this proxy alone ------------------------------------------------------------------------


def header_of(server: socket.socket) -> tuple[ProxyHeader, int]:
    """Read a header of a server's connection, which comes in one piece; return it and its size."""
    data = server.recv(4096, socket.MSG_PEEK)
    size = header_size(data)
    parsed = parse(exactly(server, size))
    assert parsed is not None
    return parsed.header, len(data)


def test_the_header_is_in_the_segment_of_the_first_bytes(proxy: Starter) -> None:
    with Server() as behind:
        running = proxy(forward(behind.uri, upstream='proxy_protocol = "v2"'))
        with connect(f"tcp://127.0.0.1:{running.port('in')}") as client:
            client.sendall(b"hello")
            with behind.next() as server:
                header, first = header_of(server)
                assert header.peer == f"127.0.0.1:{client.getsockname()[1]}"
                assert header.target == f"127.0.0.1:{running.port('in')}"
                assert exactly(server, 5) == b"hello"
                assert first in (28, 33)


def test_a_server_that_speaks_first_does_not_wait(proxy: Starter) -> None:
    with Server() as behind:
        running = proxy(forward(behind.uri, upstream='proxy_protocol = "v2"'))
        with connect(f"tcp://127.0.0.1:{running.port('in')}") as client, behind.next() as server:
            assert header_of(server)[0].version == 2
            server.sendall(b"220")
            assert exactly(client, 3) == b"220"


def test_through_two_proxies_and_a_unix_socket(proxy: Starter, tmp_path: Path) -> None:
    with Server() as behind:
        last = forward(behind.uri, bind=f"unix:{tmp_path}/middle",
                       listener='proxy_protocol = { from = "unix" }',
                       upstream='proxy_protocol = "v1"')  # fmt: skip
        proxy(last)
        first = forward(f"unix:{tmp_path}/middle",
                        listener='proxy_protocol = { from = "127.0.0.1", others = "direct" }',
                        upstream='proxy_protocol = "v2"')  # fmt: skip
        running = proxy(first)
        with connect(f"tcp://127.0.0.1:{running.port('in')}") as client:
            client.sendall(encode_v2(V4) + b"hello")
            with behind.next() as server:
                header, _ = header_of(server)
                assert header == V4._replace(version=1)
                assert exactly(server, 5) == b"hello"


def test_checks_are_local(proxy: Starter) -> None:
    with Server() as behind:
        upstream = 'proxy_protocol = "v2"\ncheck = { interval = "100ms" }'
        proxy(forward(behind.uri, upstream=upstream))
        with behind.next() as server:
            assert exactly(server, len(LOCAL)) == LOCAL
            assert server.recv(1) == b""


@pytest.mark.parametrize("splice", ["true", "false"])
def test_large_streams_both_ways_after_headers(proxy: Starter, splice: str) -> None:
    block = bytes(range(256)) * 4096 * 8
    with Server() as behind:
        text = forward(
            behind.uri,
            listener='proxy_protocol = { from = "127.0.0.1" }',
            upstream='proxy_protocol = "v2"',
        )
        running = proxy(f"[proxy]\nsplice = {splice}\n{text}")
        with connect(f"tcp://127.0.0.1:{running.port('in')}") as client:
            client.sendall(encode_v2(V4))
            with behind.next() as server:
                assert header_of(server)[0].peer == V4.peer
                for sender, receiver in ((client, server), (server, client)):
                    thread = threading.Thread(target=sender.sendall, args=(block,))
                    thread.start()
                    assert exactly(receiver, len(block)) == block
                    thread.join()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_stranger_and_a_wrong_header(proxy: Starter, workers: int) -> None:
    with Server() as behind:
        text = forward(behind.uri, listener='proxy_protocol = { from = "127.0.0.2/32" }')
        running = proxy(f"[proxy]\nworkers = {workers}\n{text}")
        uri = f"tcp://127.0.0.1:{running.port('in')}"
        with connect(uri) as stranger:
            assert ended(stranger)
        running.wait_for("is refused: its address is not in `from` of proxy_protocol")
        host, port = "127.0.0.1", running.port("in")
        with socket.create_connection((host, port), source_address=("127.0.0.2", 0)) as balancer:
            balancer.sendall(b"GET / HTTP/1.1\r\n\r\n")
            assert ended(balancer)
        running.wait_for("is refused: its PROXY header is not valid at byte 0")
        with socket.create_connection((host, port), source_address=("127.0.0.2", 0)) as balancer:
            balancer.sendall(encode_v2(V4) + b"hello")
            with behind.next() as server:
                assert exactly(server, 5) == b"hello"


def ended(sock: socket.socket) -> bool:
    """Whether the peer closes the connection."""
    sock.settimeout(10)
    try:
        return sock.recv(1) == b""
    except ConnectionResetError:
        return True
