"""A real NATS server, and a client for tests that uses the bare protocol."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

PATIENCE_S = 10.0
"""Time limit for a server to start or to reply, on a busy machine."""


class Server:
    """`nats-server` on a free port, with JetStream; it can be killed and restarted."""

    def __init__(self, directory: Path, *options: str) -> None:
        program = shutil.which("nats-server", path=os.environ["PATH"] + ":/usr/sbin")
        if program is None:
            pytest.skip("nats-server is not installed")
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        where = "-a", "127.0.0.1", "-p", str(self.port), "-js", "-sd", str(directory)
        self._command = (program, *where, *options)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the server, and wait until it accepts connections."""
        self._process = subprocess.Popen(
            self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        until = time.monotonic() + PATIENCE_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
            except ConnectionRefusedError:
                assert time.monotonic() < until, "nats-server does not start"
                time.sleep(0.01)
            else:
                return

    @property
    def pid(self) -> int:
        """The process's id, while it runs."""
        assert self._process is not None
        return self._process.pid

    def pause(self) -> None:
        """Stop the process (SIGSTOP)."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        os.waitpid(self._process.pid, os.WUNTRACED)

    def kill(self) -> None:
        """Kill the process. Its streams are on disk."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def uri(self, subject: str, user: str = "") -> str:
        """Return a subject's address."""
        return f"nats://{user}{'@' * bool(user)}127.0.0.1:{self.port}/{subject}"


class Peer:
    """Another client of the server, by the bare protocol."""

    def __init__(self, server: Server) -> None:
        self._sock = socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S)
        self._lines = self._sock.makefile("rb")
        assert self._lines.readline().startswith(b"INFO")
        self._sock.sendall(b'CONNECT {"verbose":false,"headers":true,"no_responders":true}\r\n')
        self.flush()

    def flush(self) -> None:
        """Wait until the server has handled all that was sent."""
        self._sock.sendall(b"PING\r\n")
        assert self._line() == b"PONG\r\n"

    def publish(self, subject: str, *messages: bytes, reply: str = "") -> None:
        """Publish messages."""
        for message in messages:
            head = f"PUB {subject} {reply} {len(message)}\r\n".encode()
            self._sock.sendall(head + message + b"\r\n")

    def publish_status(self, subject: str, status: str) -> None:
        """Publish a status without a message, as a server replies to a pull request."""
        head = f"NATS/1.0 {status}\r\n\r\n".encode()
        self._sock.sendall(f"HPUB {subject} {len(head)} {len(head)}\r\n".encode() + head + b"\r\n")

    def subscribe(self, subject: str) -> None:
        """Subscribe to a subject."""
        self._sock.sendall(f"SUB {subject} 1\r\n".encode())
        self.flush()

    def readable(self) -> bool:
        """Return whether a message has arrived."""
        return bool(select.select([self._sock], [], [], 0)[0])

    def receive_reply_to(self) -> str:
        """Return the reply subject of the next message."""
        _, _, _, reply_to, size = self._line().decode().split()
        self._lines.read(int(size) + 2)
        return reply_to

    def receive(self, count: int = 1) -> list[bytes]:
        """Return the next messages."""
        return [self._message() for _ in range(count)]

    def request(self, subject: str, content: object = None) -> dict[str, object]:
        """Send a request to JetStream; return the reply."""
        self._sock.sendall(b"SUB reply 2\r\nUNSUB 2 1\r\n")
        data = b"" if content is None else json.dumps(content).encode()
        self.publish(subject, data, reply="reply")
        reply: dict[str, object] = json.loads(self._message())
        assert "error" not in reply, reply
        return reply

    def add_stream(self, name: str, *subjects: str, **more: object) -> None:
        """Create a stream."""
        self.request(f"$JS.API.STREAM.CREATE.{name}", {"name": name, "subjects": subjects, **more})

    def stored(self, stream: str) -> object:
        """Return how many messages a stream holds."""
        state = self.request(f"$JS.API.STREAM.INFO.{stream}")["state"]
        assert isinstance(state, dict)
        return state["messages"]

    def close(self) -> None:
        """Close the connection."""
        self._lines.close()
        self._sock.close()

    def _line(self) -> bytes:
        while (line := self._lines.readline()) == b"PING\r\n":
            self._sock.sendall(b"PONG\r\n")
        return line

    def _message(self) -> bytes:
        line = self._line()
        assert line.startswith(b"MSG "), line
        size = int(line.rsplit(b" ", 1)[1])
        data: bytes = self._lines.read(size + 2)
        return data[:size]
