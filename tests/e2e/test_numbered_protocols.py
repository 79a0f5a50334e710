"""Recipes of protocols that number their messages, with real programs on both sides."""

from __future__ import annotations

import socket
from pathlib import Path

import c104
import simplefix

from tests.e2e.conftest import Starter
from tests.e2e.running import Server, eventually, free_port

COOKBOOK = Path(__file__).parents[2] / "docs" / "cookbook"


def configured(recipe: str, server: str, options: str = "{ }") -> str:
    """Return a configuration with a recipe in front of a server."""
    return f"""
[[listener]]
name = "in"
bind = "tcp://127.0.0.1:0"
plugin = "{COOKBOOK / recipe}.py"
upstream = "out"
options = {options}

[upstream.out]
servers = ["{server}"]
"""


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
        message.append_utc_timestamp(52)
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
        running = proxy(configured("fix_gate", server.uri, options))
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


class Outstation:
    """A server of lib60870, with a measured value and a switch."""

    def __init__(self) -> None:
        self.port = free_port()
        self.server = c104.Server(ip="127.0.0.1", port=self.port)
        station = self.server.add_station(common_address=47)
        value = station.add_point(io_address=11, type=c104.Type.M_ME_NC_1, report_ms=0)
        value.value = 12.5
        self.switch = station.add_point(io_address=12, type=c104.Type.C_SC_NA_1)
        self.server.start()


class ControlStation:
    """A client of lib60870, which has interrogated the outstation.

    It is started and unmuted apart, because c104 2.2.1 does not always send STARTDT by itself.
    """

    def __init__(self, port: int) -> None:
        self.client = c104.Client()
        self.connection = self.client.add_connection(
            ip="127.0.0.1", port=port, init=c104.Init.MUTED
        )
        station = self.connection.add_station(common_address=47)
        self.value = station.add_point(io_address=11, type=c104.Type.M_ME_NC_1)
        self.switch = station.add_point(io_address=12, type=c104.Type.C_SC_NA_1)
        self.client.start()
        eventually(lambda: self.connection.is_connected, "the control station is connected")
        eventually(self.connection.unmute, "STARTDT is confirmed")
        assert self.connection.interrogation(common_address=47)
        eventually(lambda: self.value.value == 12.5, "the value of the outstation")

    def command(self) -> bool:
        """Command the switch; return whether the outstation has confirmed it."""
        self.switch.value = True
        return bool(self.switch.transmit(cause=c104.Cot.ACTIVATION))


def test_an_outstation_is_read_and_not_commanded(proxy: Starter) -> None:
    outstation = Outstation()
    running = proxy(configured("iec104_monitor", f"tcp://127.0.0.1:{outstation.port}"))
    station = ControlStation(running.port("in"))
    try:
        assert station.command() is False
        running.wait_for("a command of type 45 is replaced by a test command")
        assert not outstation.switch.value
        assert station.connection.is_connected
        assert station.connection.interrogation(common_address=47)
    finally:
        station.client.stop()
        outstation.server.stop()
