"""Origin: the servers behind both programs. They answer with the request that they got."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ssl import SSLContext
from threading import Thread


class Echo(BaseHTTPRequestHandler):
    """Answers with `server NAME`, the request line and the fields of the request.

    Paths choose other answers: /missing is 404, /broken is 500, /large is 10,000 bytes of text, and
    /cookie sets one.
    """

    protocol_version = "HTTP/1.1"
    name = ""

    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        sent = self.rfile.read(length)
        status = {"/missing": 404, "/broken": 500}.get(self.path, 200)
        lines = [f"server {self.name}", self.requestline]
        lines += [f"{key}: {value}" for key, value in self.headers.items()]
        body = b"\n".join([*map(str.encode, lines), *([b"", sent] if sent else [])]) + b"\n"
        if self.path == "/large":
            body = b"0123456789" * 1000
        self.send_response(status)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Powered-By", "origin")
        if self.path == "/cookie":
            self.send_header("Set-Cookie", "session=1; Path=/")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Nothing is logged."""


class Server(ThreadingHTTPServer):
    """Its threads end with their connections."""

    daemon_threads = True


@contextmanager
def origin(port: int, name: str, tls: SSLContext | None = None) -> Iterator[None]:
    """Serve at a port of loopback, over TLS if there is a context for it."""
    handler = type("Named", (Echo,), {"name": name})
    with Server(("127.0.0.1", port), handler) as server:
        if tls is not None:  # the handshake is on the thread of the connection
            server.socket = tls.wrap_socket(
                server.socket, server_side=True, do_handshake_on_connect=False
            )
        thread = Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()
