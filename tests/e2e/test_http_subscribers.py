"""HTTP clients of a relay: curl, over TCP and TLS; several streams behind one http_proxy."""

from __future__ import annotations

import signal
from pathlib import Path

from tests.e2e.conftest import Certificates, Starter, Tools
from tests.e2e.test_relay import LINES, Subscriber, relay


def test_curl_gets_every_line_over_tcp_and_tls(
    proxy: Starter, tools: Tools, certificates: Certificates, tmp_path: Path
) -> None:
    certificate, key = certificates.issue("localhost")
    running = proxy(
        relay(
            'on_lag = "block"\nhttp_path = "/lines"\ncontent_type = "text/plain"\n'
            'http_subscribers = ["tcp://127.0.0.1:0", "tls://127.0.0.1:0"]',
            more=f'tls = {{ certificate = "{certificate}", key = "{key}" }}',
        )
    )
    plain, secure = (uri.rpartition(":")[2] for uri in running.uris("feed.http_subscribers"))
    curl = ("curl", "--silent", "--no-buffer", "--cacert", str(certificates.ca))
    clients = [
        Subscriber(running, tools, tmp_path / "http", *curl, f"http://127.0.0.1:{plain}/lines"),
        Subscriber(running, tools, tmp_path / "tls", *curl, f"https://localhost:{secure}/lines"),
    ]
    tools.run("socat", "-u", "-", "tcp:" + running.uri("feed").partition("//")[2], stdin=LINES)
    for client in clients:
        client.has_received(LINES)
    head = tools.run("curl", "--silent", "--head", f"http://127.0.0.1:{plain}/lines")
    assert b"\r\nContent-Type: text/plain\r\n" in head
    missing = tools.run("curl", "--silent", f"http://127.0.0.1:{plain}/other")
    assert missing == b"the stream is at /lines\n"
    running.signal(signal.SIGTERM)
    assert running.wait() == 0
    for client in clients:
        client.has_ended()
        assert client.process.returncode == 0, "curl takes the end of the connection as the end"


def test_several_streams_at_one_port(proxy: Starter, tools: Tools, tmp_path: Path) -> None:
    """An http_proxy chooses the relay by the path."""
    relays = "".join(
        f"""
[[listener]]
name = "{name}"
bind = "tcp://127.0.0.1:0"
plugin = "relay"

[listener.options]
http_subscribers = "unix:{tmp_path}/{name}"
http_path = "/{name}"
framing = "lines"

[upstream.{name}]
servers = ["unix:{tmp_path}/{name}"]
"""
        for name in ("one", "two")
    )
    running = proxy(f"""{relays}
[[listener]]
name = "front"
bind = "tcp://127.0.0.1:0"
plugin = "http_proxy"
upstream = "one"

[listener.options]
routes = [{{ path = "/two", upstream = "two" }}, {{ path = "/" }}]
""")
    front = "http://" + running.uri("front").partition("//")[2]
    clients = {
        name: Subscriber(running, tools, tmp_path / f"got-{name}", "curl", "-sN", f"{front}/{name}")
        for name in ("one", "two")
    }
    for name, client in clients.items():
        line = f"{name}\n".encode()
        address = "tcp:" + running.uri(name).partition("//")[2]
        tools.run("socat", "-u", "-", address, stdin=line)
        client.has_received(line)
    running.signal(signal.SIGTERM)
    assert running.wait() == 0
    for client in clients.values():
        client.has_ended()
