"""Web: configurations and servers for tests of the HTTP proxy."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import NamedTuple

from tests.e2e.conftest import Tools
from tests.e2e.running import forward, refusing

GET = b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"


def web(
    *servers: str,
    bind: str = "tcp://127.0.0.1:0",
    listener: str = "",
    options: str = "",
    upstream: str = "",
) -> str:
    """A configuration of http_proxy with listener "in", and further lines for its tables."""
    text = forward(
        *servers,
        bind=bind,
        listener=f"{listener}\n[listener.options]\n{options}",
        upstream=upstream,
    )
    return text.replace('plugin = "forward"', 'plugin = "http_proxy"')


def way_out(*, forward: str = "127.0.0.1:*", connect: str = "127.0.0.1:*") -> str:
    """A configuration of a forward proxy with listener "in"; `forward` and `connect` are the
    destinations that clients may request in absolute form and by CONNECT."""
    return f"""
[[listener]]
name = "in"
bind = "tcp://127.0.0.1:0"
plugin = "http_proxy"
options = {{ forward = {{ allow = ["{forward}"] }}, connect = {{ allow = ["{connect}"] }} }}
"""


class Received(NamedTuple):
    """A request as a server received it."""

    method: str
    target: str
    fields: dict[str, str]
    body: bytes


class Origin(ThreadingHTTPServer):
    """Python's own server. It replies with the body of the request, framed in the same way."""

    request_queue_size = 128

    def __init__(self, handler: type[Echo]) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.received: list[Received] = []
        self.connections: list[socket.socket] = []

    @property
    def uri(self) -> str:
        """Its address."""
        return f"tcp://127.0.0.1:{self.server_port}"

    def get_request(self) -> tuple[socket.socket, tuple[str, int]]:
        """Record the connections."""
        sock, address = super().get_request()
        self.connections.append(sock)
        return sock, address

    def close(self) -> None:
        """Close all connections, then the server."""
        self.shutdown()
        for sock in self.connections:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        self.server_close()


class Echo(BaseHTTPRequestHandler):
    """One connection of an Origin."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # write a reply as one segment: no small segment waits for an acknowledgement
    server: Origin

    def do_GET(self) -> None:
        """Reply to any request."""
        chunked = "Transfer-Encoding" in self.headers
        size = int(self.headers.get("Content-Length", 0))
        body = self._chunks() if chunked else self.rfile.read(size)
        received = Received(self.command, self.path, dict(self.headers), body)
        self.server.received.append(received)
        self.answer(received)

    def answer(self, received: Received) -> None:
        """Send the body back."""
        self.send_response(200)
        if "Transfer-Encoding" in received.fields:
            self.send_header("Transfer-Encoding", "chunked")
            chunk = b"%x\r\n%b\r\n" % (len(received.body), received.body) if received.body else b""
            body = chunk + b"0\r\n\r\n"
        else:
            self.send_header("Content-Length", str(len(received.body)))
            body = received.body
        self.end_headers()
        self.wfile.write(body)

    do_HEAD = do_POST = do_PUT = do_GET  # noqa: N815

    def handle_expect_100(self) -> bool:
        """Request the body."""
        self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self.wfile.flush()
        return True

    def _chunks(self) -> bytes:
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@contextmanager
def origin(handler: type[Echo] = Echo) -> Iterator[Origin]:
    """An Origin, closed at the end."""
    server = Origin(handler)
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
    try:
        yield server
    finally:
        server.close()


def nginx(tools: Tools, directory: Path, serves: str, listen: str = "") -> str:
    """Start nginx with these lines in its `server` block; return its URI. `listen` has further
    parameters of the directive `listen`."""
    uri = refusing()
    (directory / "nginx.conf").write_text(f"""
        daemon off; master_process off; pid {directory}/nginx.pid;
        error_log {directory}/nginx.log;
        events {{}}
        http {{
            access_log off; client_max_body_size 0;
            client_body_temp_path {directory}/body; proxy_temp_path {directory}/1;
            fastcgi_temp_path {directory}/2; uwsgi_temp_path {directory}/3;
            scgi_temp_path {directory}/4;
            server {{ listen {uri.removeprefix("tcp://")} {listen}; {serves} }}
        }}
    """)
    tools.serve(uri, "nginx", "-c", str(directory / "nginx.conf"), "-p", str(directory))
    return uri
