"""Runner: runs the corpus on a real proxy, over loopback, with an Origin as its server.

A lane is one proxy with one origin, and runs one case at a time: everything that the origin
receives belongs to that case. Several lanes run in parallel.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Self

from tests.http.corpus.case import Case
from tests.http.corpus.origin import Origin
from tests.http.corpus.trial import Seen, run_case

LOOPBACK = "127.0.0.1"
PATIENCE_S = 1.5
"""A proxy that sends nothing for this time waits for more data: loopback takes a millisecond."""
PAUSE_S = 0.01
"""Pause between two pieces: the first is received and read before the next is sent."""
LANES = 4

Proxy = Callable[[int], AbstractContextManager[int]]
"""Runs a proxy whose server is at the given port; yields the proxy's port."""


class Server:
    """The origin, at a port: a thread for each connection."""

    def __init__(self) -> None:
        self.origin = Origin()
        self._socket = socket.create_server((LOOPBACK, 0))
        self.port: int = self._socket.getsockname()[1]
        self._turn = threading.Lock()
        self._open: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for sock in (self._socket, *list(self._open)):
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self._socket.close()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=[sock], daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        self._open.add(sock)
        connection = self.origin.connection(_Line(sock))
        try:
            while data := sock.recv(1 << 16):
                with self._turn:
                    connection.feed(data)
        except OSError:
            pass
        finally:
            self._open.discard(sock)
            sock.close()


class _Line:
    def __init__(self, sock: socket.socket) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = sock

    def send(self, data: bytes) -> None:
        try:
            self._socket.sendall(data)
        except OSError:
            pass

    def close(self) -> None:
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def reset(self) -> None:
        # The proxy must read the data before the reset, which discards unread data.
        time.sleep(PAUSE_S)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()


class SocketClient:
    """See Client."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection((LOOPBACK, port), PATIENCE_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._received = bytearray()
        self.over = False

    @property
    def received(self) -> bytes:
        """See Client."""
        return bytes(self._received)

    def send(self, data: bytes) -> None:
        """See Client."""
        try:
            self._socket.sendall(data)
        except OSError:
            pass  # closed by the proxy: its last data can still be read

    def end(self) -> None:
        """See Client."""
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def close(self) -> None:
        """See Client."""
        self._socket.close()

    def wait(self, until: Callable[[], bool]) -> None:
        """See Client."""
        deadline = time.monotonic() + PATIENCE_S
        while not (self.over or until()):
            self._socket.settimeout(max(deadline - time.monotonic(), 0.001))
            try:
                piece = self._socket.recv(1 << 16)
            except TimeoutError:
                return
            except OSError:
                piece = b""
            self._received += piece
            self.over = not piece


class Loopback:
    """See World."""

    def __init__(self, origin: Origin, port: int) -> None:
        self.origin = origin
        self._port = port

    def client(self) -> SocketClient:
        """See World."""
        return SocketClient(self._port)

    def pause(self) -> None:
        """See World."""
        time.sleep(PAUSE_S)


@contextmanager
def loopback(proxy: Proxy) -> Iterator[Loopback]:
    """A running proxy, and its origin."""
    with Server() as server, proxy(server.port) as port:
        yield Loopback(server.origin, port)


Trial = tuple[Case, tuple[int, ...]]
"""A case, and where to cut it."""


def run(
    proxy: Proxy, trials: Sequence[Trial], step: Callable[[], object] = lambda: None
) -> list[Seen]:
    """Run the trials on several lanes; return the results in the order of the trials.

    `step` is called after each trial. Raises any exception of a lane.
    """
    left: SimpleQueue[int] = SimpleQueue()
    for number in range(len(trials)):
        left.put(number)
    seen: dict[int, Seen] = {}
    failed: list[BaseException] = []

    def lane() -> None:
        try:
            with loopback(proxy) as world:
                while not failed:
                    number = left.get_nowait()
                    case, cuts = trials[number]
                    seen[number] = run_case(case, world, number, cuts)
                    step()
        except Empty:
            pass
        except BaseException as error:
            failed.append(error)

    lanes = [threading.Thread(target=lane) for _ in range(min(LANES, len(trials)))]
    for thread in lanes:
        thread.start()
    for thread in lanes:
        thread.join()
    if failed:
        raise failed[0]
    return [seen[number] for number in range(len(trials))]
