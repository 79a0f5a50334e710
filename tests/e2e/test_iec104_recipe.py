"""The recipe iec104_monitor with lib60870 on both sides: see `collect_ignore` in conftest.py."""

from __future__ import annotations

import c104

from tests.cookbook.recipes import configured
from tests.e2e.conftest import Starter
from tests.e2e.running import eventually, free_port


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
