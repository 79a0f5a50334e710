"""ModbusOptions: routes and rules, apart from any connection. See tests/plugins/test_modbus.py."""

from __future__ import annotations

import pytest

from vcproxy.config.numbers import Numbers
from vcproxy.messages.modbus_options import ModbusDevice, ModbusOptions, ModbusRoute, ModbusRule
from vcproxy.protocols.modbus import ModbusError, ModbusRequest

READ = b"\3\0\x0a\0\x02"  # registers 10 and 11
RESTART = b"\x08\0\1\0\0"  # the option of diagnostics that restarts communications
READ_AND_WRITE = b"\x17\0\x0a\0\1\0\x28\0\1\2\0\7"  # register 10 is read, 40 is written


def test_the_first_device_that_lists_a_unit_counts() -> None:
    one = ModbusDevice(Numbers.parse("1-5"), "one", "rtu")
    two = ModbusDevice(Numbers.parse("4-9"), "two", unit=1)
    routes = ModbusOptions(devices=(one, two)).routes(None)
    assert len(routes) == 256
    assert routes[4] == ModbusRoute("one", 4, is_rtu=True)
    assert routes[6] == ModbusRoute("two", 1, is_rtu=False)
    assert routes[10] == ModbusRoute(None, 10, is_rtu=False)


def test_an_upstream_has_one_protocol() -> None:
    options = ModbusOptions("rtu", (ModbusDevice(Numbers.parse("1"), "plc"),))
    assert options.protocol_at("plc") == "tcp"
    assert options.protocol_at("line") == "rtu"


@pytest.mark.parametrize(
    ("rules", "pdu", "error"),
    [
        ([], READ, None),
        ([ModbusRule()], READ, None),
        ([ModbusRule(addresses=Numbers.parse("10-11"))], READ, None),
        ([ModbusRule(addresses=Numbers.parse("10"))], READ, ModbusError.ILLEGAL_ADDRESS),
        ([ModbusRule(addresses=Numbers.parse("10"))], READ_AND_WRITE, ModbusError.ILLEGAL_ADDRESS),
        ([ModbusRule(addresses=Numbers.parse("10, 40"))], READ_AND_WRITE, None),
        ([ModbusRule(addresses=Numbers.parse("10"))], RESTART, ModbusError.ILLEGAL_FUNCTION),
        ([ModbusRule(None, Numbers.parse("3, 8"), Numbers.parse("10"))], RESTART, None),
        ([ModbusRule(functions=Numbers.parse("3"))], RESTART, ModbusError.ILLEGAL_FUNCTION),
        ([ModbusRule(units=Numbers.parse("2"))], READ, ModbusError.ILLEGAL_FUNCTION),
    ],
)
def test_a_request_must_match_a_rule(
    rules: list[ModbusRule], pdu: bytes, error: ModbusError | None
) -> None:
    checked = ModbusOptions(allow=tuple(rules)).checked(1, pdu)
    assert checked is error or isinstance(checked, ModbusRequest)


def test_a_read_only_gateway_refuses_what_may_change_something() -> None:
    options = ModbusOptions(read_only=True)
    assert options.checked(1, READ_AND_WRITE) is ModbusError.ILLEGAL_FUNCTION
    assert isinstance(options.checked(1, READ), ModbusRequest)
