"""BusPeer: a scripted peer on the bus, for tests of services: simulated, or on a real socket.

    with BusPeer.connect("unix:/run/app.sock") as peer:
        peer.answer("ALIVE", "ABSOLUTELY serial=1")
        peer.send("HELP")
        peer.expect("COMMANDS", list="HELP,STOP")
        peer.send("STOP")
        peer.expect_end()

It is what the original's reporter is for: it listens or connects, waits for messages, compares and
answers them. All failures are AssertionErrors that list what has been received. Tested in
tests/testing/test_bus_peer.py.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, TypeAlias

from vcproxy.bus.message.bus_message import BusMessage
from vcproxy.drivers.sim import Stuck
from vcproxy.engine.address import Address
from vcproxy.testing.running import PATIENCE_S, connect

if TYPE_CHECKING:
    from vcproxy.drivers.sim import Peer, Simulation

Condition: TypeAlias = Callable[[], bool]


class BusPeer:
    """One end of a connection of the bus. Messages are kept in the order in which they came.

    It is made by `simulated`, `connect` or `listen`.
    """

    def __init__(self, channel: Channel) -> None:
        self.messages: list[BusMessage] = []
        """All messages received so far."""
        self.address = channel.address
        """The other end; the own address of one that listens."""
        self._taken = 0  # messages that were expected, waited for, or answered
        self._answers: dict[str, BusMessage] = {}
        self._partial = b""
        self._ended = ""
        self._channel = channel
        channel.start(self._received, self._end)

    def __repr__(self) -> str:
        return f"<BusPeer {self.address}>"

    @classmethod
    def simulated(cls, peer: Peer, simulation: Simulation) -> BusPeer:
        """Return one on a simulated network: `peer` is a client, or a peer of a server, as
        `proxy.client()` and `proxy.server()` with `proxy.sim`. Waiting runs the simulation."""
        return cls(_SimulatedChannel(peer, simulation))

    @classmethod
    def connect(cls, uri: str) -> BusPeer:
        """Return one that is connected to a tcp or Unix stream address. Raises OSError."""
        return cls(_SocketChannel(connect(uri), uri))

    @classmethod
    def listen(cls, uri: str) -> BusPeer:
        """Return one that listens at an address, and is the peer of the first that connects."""
        address = Address.parse(uri)
        if address.scheme == "unix":
            sock = socket.socket(socket.AF_UNIX)
            sock.bind(address.path)
            sock.listen()
        else:
            sock = socket.create_server((address.host, address.port))
            address = address.with_port(sock.getsockname()[1])
        return cls(_SocketChannel(sock, str(address), accepts=True))

    def __enter__(self) -> BusPeer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    # -- the script --------------------------------------------------------------------------

    def send(self, message: BusMessage | str) -> None:
        """Send a message. A text is sent as it is, also if it is not one."""
        text = message.to_text() if isinstance(message, BusMessage) else message
        self._channel.send(f"{text}\n".encode("utf-8", "surrogateescape"))

    def answer(self, command: str, answer: BusMessage | str) -> None:
        """Answer each message with this command at once, from now on. It needs no `expect`."""
        self._answers[command] = BusMessage.parse(answer) if isinstance(answer, str) else answer

    def expect(self, command: str, /, **parameters: str) -> BusMessage:
        """Return the next message, which must have this command and these parameters; it may have
        more of them."""
        message = self._next(f"{command} is expected")
        wrong = message.command != command or any(
            message.parameters.get(name) != value for name, value in parameters.items()
        )
        if wrong:
            expected = BusMessage(command, parameters).to_text()
            raise AssertionError(f"{expected} is expected, but this came: {message.to_text()}")
        return message

    def wait_for(self, command: str) -> BusMessage:
        """Return the next message with this command; skip those before it."""
        while True:
            message = self._next(f"{command} is waited for")
            if message.command == command:
                return message

    def expect_end(self) -> None:
        """Expect that the other end has closed or ended the connection, after no more messages."""
        self._wait(lambda: bool(self._ended) or self._left, "the end is expected")
        if self._left:
            message = self.messages[self._taken]
            raise AssertionError(f"the end is expected, but this came: {message.to_text()}")

    def close(self) -> None:
        """Close the connection, or stop listening."""
        self._channel.close()

    # -- inside ------------------------------------------------------------------------------

    @property
    def _left(self) -> bool:
        return len(self.messages) > self._taken

    def _next(self, why: str) -> BusMessage:
        self._wait(lambda: self._left or bool(self._ended), why)
        if not self._left:
            raise AssertionError(f"{why}, but the connection {self._ended}; {self._so_far()}")
        self._taken += 1
        return self.messages[self._taken - 1]

    def _wait(self, condition: Condition, why: str) -> None:
        if not self._channel.wait(condition):
            raise AssertionError(f"{why}, but nothing came; {self._so_far()}")

    def _so_far(self) -> str:
        texts = [message.to_text() for message in self.messages]
        return f"received so far: {', '.join(texts) or 'nothing'}"

    def _received(self, data: bytes) -> None:
        *lines, self._partial = (self._partial + data).split(b"\n")
        for line in filter(None, lines):
            message = BusMessage.parse(line.decode("utf-8", "surrogateescape"))
            answer = self._answers.get(message.command)
            if answer is None:
                self.messages.append(message)
            else:
                self.send(answer)

    def _end(self, how: str) -> None:
        self._ended = how


class Channel(Protocol):
    """How a BusPeer sends, receives and waits."""

    address: str

    def start(self, received: Callable[[bytes], None], ended: Callable[[str], None]) -> None:
        """Receive from now on."""

    def send(self, data: bytes) -> None:
        """Send data."""

    def wait(self, condition: Condition) -> bool:
        """Wait until the condition holds; return False if it will not, or not in time."""

    def close(self) -> None:
        """Close the connection."""


class _SimulatedChannel:
    def __init__(self, peer: Peer, simulation: Simulation) -> None:
        self.address = "simulated"
        self._peer = peer
        self._simulation = simulation

    def start(self, received: Callable[[bytes], None], ended: Callable[[str], None]) -> None:
        self._ended = ended
        self._peer.on_data = received
        if self._peer.received:
            received(bytes(self._peer.received))

    def send(self, data: bytes) -> None:
        self._peer.send(data)

    def wait(self, condition: Condition) -> bool:
        def holds() -> bool:
            if self._peer.error is not None:
                self._ended(f"is broken: {self._peer.error}")
            elif self._peer.ended:
                self._ended("has ended")
            return condition()

        try:
            self._simulation.run(until=holds)
        except Stuck:
            return False
        return True

    def close(self) -> None:
        self._peer.close()


class _SocketChannel:
    """A thread reads the socket; all that it passes on is under a lock."""

    def __init__(self, sock: socket.socket, address: str, *, accepts: bool = False) -> None:
        self.address = address
        self._accepts = accepts
        self._sock = sock  # of the connection; while it accepts: of the listener
        self._listener: socket.socket | None = sock if accepts else None
        self._changed = threading.Condition()
        self._accepted = not accepts
        self._thread = threading.Thread(target=self._read, daemon=True)

    def start(self, received: Callable[[bytes], None], ended: Callable[[str], None]) -> None:
        self._received = received
        self._ended = ended
        self._thread.start()

    def send(self, data: bytes) -> None:
        if not self.wait(lambda: self._accepted):
            raise AssertionError(f"{self.address}: no peer has connected")
        self._sock.sendall(data)

    def wait(self, condition: Condition) -> bool:
        with self._changed:
            return self._changed.wait_for(condition, PATIENCE_S)

    def close(self) -> None:
        for sock in {self._sock, self._listener or self._sock}:
            try:
                sock.shutdown(socket.SHUT_RDWR)  # wakes the thread
            except OSError:
                pass
        self._thread.join(PATIENCE_S)
        for sock in {self._sock, self._listener or self._sock}:
            sock.close()

    def _read(self) -> None:
        how = "has ended"
        try:
            if self._listener is not None:
                self._listener.settimeout(None)
                self._sock, _ = self._listener.accept()
                with self._changed:
                    self._accepted = True
                    self._changed.notify_all()
            self._sock.settimeout(None)
            while data := self._sock.recv(65536):
                with self._changed:
                    self._received(data)
                    self._changed.notify_all()
        except (OSError, ValueError) as error:
            how = f"is broken: {error}"
        with self._changed:
            self._ended(how)
            self._changed.notify_all()
