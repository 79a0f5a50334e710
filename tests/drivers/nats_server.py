"""A real NATS server, and what a test says and hears there by the bare protocol."""

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
"""What a server takes at most, on a busy machine, to start or to answer."""


class Server:
    """`nats-server` on a port of its own, with JetStream; it can be killed and started again."""

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
        """Start it, and wait until it answers."""
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
        """Of its process, while it runs."""
        assert self._process is not None
        return self._process.pid

    def pause(self) -> None:
        """Have it do nothing, not even die."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        os.waitpid(self._process.pid, os.WUNTRACED)

    def kill(self) -> None:
        """End it at once; what its streams hold is on disk."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def uri(self, subject: str, user: str = "") -> str:
        """A subject's address."""
        return f"nats://{user}{'@' * bool(user)}127.0.0.1:{self.port}/{subject}"


class Peer:
    """Another client of the server, which speaks the protocol by itself."""

    def __init__(self, server: Server) -> None:
        self._sock = socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S)
        self._lines = self._sock.makefile("rb")
        assert self._lines.readline().startswith(b"INFO")
        self._sock.sendall(b'CONNECT {"verbose":false,"headers":true,"no_responders":true}\r\n')
        self.settle()

    def settle(self) -> None:
        """Wait until the server has done all that was said so far."""
        self._sock.sendall(b"PING\r\n")
        assert self._line() == b"PONG\r\n"

    def say(self, subject: str, *messages: bytes, reply: str = "") -> None:
        """Publish."""
        for message in messages:
            head = f"PUB {subject} {reply} {len(message)}\r\n".encode()
            self._sock.sendall(head + message + b"\r\n")

    def say_status(self, subject: str, status: str) -> None:
        """Publish what a server says of a question: a status and no message."""
        head = f"NATS/1.0 {status}\r\n\r\n".encode()
        self._sock.sendall(f"HPUB {subject} {len(head)} {len(head)}\r\n".encode() + head + b"\r\n")

    def listen(self, subject: str) -> None:
        """Subscribe."""
        self._sock.sendall(f"SUB {subject} 1\r\n".encode())
        self.settle()

    def has_news(self) -> bool:
        """Whether something has come."""
        return bool(select.select([self._sock], [], [], 0)[0])

    def hear_reply_to(self) -> str:
        """The subject on which the message that comes next is to be answered."""
        _, _, _, reply_to, size = self._line().decode().split()
        self._lines.read(int(size) + 2)
        return reply_to

    def hear(self, count: int = 1) -> list[bytes]:
        """The messages that come next."""
        return [self._message() for _ in range(count)]

    def ask(self, subject: str, question: object = None) -> dict[str, object]:
        """Ask JetStream something."""
        self._sock.sendall(b"SUB reply 2\r\nUNSUB 2 1\r\n")
        said = b"" if question is None else json.dumps(question).encode()
        self.say(subject, said, reply="reply")
        answer: dict[str, object] = json.loads(self._message())
        assert "error" not in answer, answer
        return answer

    def add_stream(self, name: str, *subjects: str, **more: object) -> None:
        """Have a stream made."""
        self.ask(f"$JS.API.STREAM.CREATE.{name}", {"name": name, "subjects": subjects, **more})

    def stored(self, stream: str) -> object:
        """How many messages a stream holds."""
        state = self.ask(f"$JS.API.STREAM.INFO.{stream}")["state"]
        assert isinstance(state, dict)
        return state["messages"]

    def close(self) -> None:
        """Leave."""
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
