"""A client's address is the same for access lists, limits, servers and logs, whatever its fields
contain."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest

from tests.e2e.conftest import Starter
from tests.e2e.running import ECHO, all_of, exactly
from tests.e2e.web import web

LAST = "Connection: close\r\n\r\n"
COOKBOOK = Path(__file__).parents[2] / "docs" / "cookbook"


class Silent(WSGIRequestHandler):
    """A request handler that logs nothing."""

    def log_message(self, *args: object) -> None:
        """Log nothing."""


def mirror(environ: dict[str, Any], start: Callable[..., object]) -> Iterable[bytes]:
    """An application that responds with the request fields that it received, as JSON."""
    start("200 OK", [("Content-Type", "application/json")])
    return [json.dumps({k: v for k, v in environ.items() if k.startswith("HTTP_")}).encode()]


@contextmanager
def application() -> Iterator[str]:
    """Python's own WSGI server; yields its URI."""
    with make_server("127.0.0.1", 0, mirror, handler_class=Silent) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"tcp://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_forged_forwarding_fields_do_not_reach_the_application(proxy: Starter) -> None:
    forged = (
        "X_Forwarded_Proto: https", "X_Forwarded_For: 127.9.9.9", "X-Forwarded_Host: evil",
        "Proxy: http://evil.example", "Proxy_Authorization: Basic eA==",
    )  # fmt: skip
    with application() as uri:
        running = proxy(web(uri))
        with running.connect("in") as client:
            lines = "\r\n".join(["GET / HTTP/1.1", "Host: a.example", *forged, LAST])
            client.sendall(lines.encode())
            seen = json.loads(all_of(client).partition(b"\r\n\r\n")[2])
    assert seen == {
        "HTTP_HOST": "a.example",
        "HTTP_VIA": seen["HTTP_VIA"],
        "HTTP_X_FORWARDED_FOR": "127.0.0.1",
        "HTTP_X_FORWARDED_PROTO": "http",
        "HTTP_X_FORWARDED_HOST": "a.example",
    }


@pytest.fixture
def dual_stack() -> None:
    """Skip where there is no IPv6."""
    try:
        socket.create_server(("::", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("there is no IPv6 here")


def through_ipv4(uri: str) -> socket.socket:
    """Connect to a listener at [::] by IPv4."""
    return socket.create_connection(("127.0.0.1", int(uri.rpartition(":")[2])), 10)


@pytest.mark.usefixtures("dual_stack")
def test_an_ipv4_client_of_an_ipv6_socket_is_ipv4_to_servers(proxy: Starter) -> None:
    with application() as uri:
        running = proxy(web(uri, bind="tcp://[::]:0", options='trusted = ["127.0.0.0/8"]'))
        with through_ipv4(running.uri("in")) as client:
            result = f"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.9\r\n{LAST}"
            client.sendall(result.encode())
            seen = json.loads(all_of(client).partition(b"\r\n\r\n")[2])
    assert seen["HTTP_X_FORWARDED_FOR"] == "192.0.2.9, 127.0.0.1"


@pytest.mark.usefixtures("dual_stack")
@pytest.mark.parametrize(("network", "served"), [("127.0.0.0/8", True), ("10.0.0.0/8", False)])
def test_an_ipv4_client_of_an_ipv6_socket_is_on_ipv4_lists(
    proxy: Starter, network: str, served: bool
) -> None:
    running = proxy(
        f"""
{ECHO}
[[listener]]
name = "in"
bind = "tcp://[::]:0"
plugin = "{COOKBOOK}/allow_list.py"
options.networks = ["{network}"]
upstream = "echo"
limits.max_per_client = 1

[upstream.echo]
servers = ["unix:echo.sock"]
""".replace("tcp://127.0.0.1:0", "unix:echo.sock")
    )
    with through_ipv4(running.uri("in")) as client:
        if served:
            client.sendall(b"hello")
            assert exactly(client, 5) == b"hello"
            with through_ipv4(running.uri("in")) as second:  # one address, one count
                assert second.recv(1) == b""
        else:
            assert client.recv(1) == b""
    assert "::ffff:" not in running.log
