"""The recipe fix_gate with simplefix on both sides."""

from __future__ import annotations

import socket
from datetime import UTC, datetime

import simplefix

from tests.cookbook.recipes import configured
from tests.e2e.conftest import Starter
from tests.e2e.running import Server


class FixPeer:
    """One side of a FIX session, encoded and decoded by simplefix."""

    def __init__(self, stream: socket.socket, name: str, peer: str) -> None:
        self.stream = stream
        self._parser = simplefix.FixParser()
        self._names = name, peer
        self._sent = 0

    def encode(self, kind: str, *fields: tuple[int, object]) -> bytes:
        """Return the next message."""
        self._sent += 1
        message = simplefix.FixMessage()
        start: list[tuple[int, object]] = [(8, "FIX.4.4"), (35, kind)]
        for tag, value in (*start, *zip((49, 56), self._names, strict=True)):
            message.append_pair(tag, value)
        message.append_pair(34, self._sent)
        message.append_utc_timestamp(52, datetime.now(UTC))  # its own clock is deprecated
        for tag, value in fields:
            message.append_pair(tag, value)
        return bytes(message.encode())

    def receive(self) -> simplefix.FixMessage:
        """Return the next message that arrives."""
        while (message := self._parser.get_message()) is None:
            data = self.stream.recv(4096)
            assert data, "the connection has ended"
            self._parser.append_buffer(data)
        return message


def test_a_fix_session_without_orders(proxy: Starter) -> None:
    options = '{ sender = "BUYSIDE", types = ["0", "1", "2", "4", "5", "A", "F"] }'
    with Server() as server:
        running = proxy(configured("fix_gate", server.uri, table=f"options = {options}"))
        with running.connect("in") as stream:
            buyer = FixPeer(stream, "BUYSIDE", "EXCHANGE")
            stream.sendall(buyer.encode("A", (98, 0), (108, 30)))
            with server.next() as accepted:
                exchange = FixPeer(accepted, "EXCHANGE", "BUYSIDE")
                assert exchange.receive().get(35) == b"A"
                accepted.sendall(exchange.encode("A", (98, 0), (108, 30)))
                assert buyer.receive().get(35) == b"A"
                stream.sendall(buyer.encode("D", (11, "order-1"), (55, "ABC")))
                garbled = buyer.encode("F", (11, "cancel-1")).replace(b"cancel-1", b"cancel-2")
                stream.sendall(garbled + buyer.encode("1", (112, "still there")))
                replaced, tested = exchange.receive(), exchange.receive()
                assert (replaced.get(35), replaced.get(34)) == (b"0", b"2")
                assert (tested.get(35), tested.get(34)) == (b"1", b"4")
                # As FIX has it, the gap leads to a resend request.
                accepted.sendall(exchange.encode("2", (7, 3), (16, 3)))
                assert buyer.receive().get(35) == b"2"
        running.wait_for("is replaced by a heartbeat")
        running.wait_for("damaged message: CheckSum is")
