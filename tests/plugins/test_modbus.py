"""The bundled modbus: clients of Modbus/TCP share devices; only valid replies reach them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vcproxy.config.errors import OptionsError
from vcproxy.config.numbers import Numbers
from vcproxy.config.options import read_options
from vcproxy.drivers.sim import Peer
from vcproxy.framing.decoding import Damaged
from vcproxy.framing.modbus_rtu import modbus_rtu, rtu_frame
from vcproxy.messages.modbus_options import ModbusDevice, ModbusOptions
from vcproxy.plugins.modbus import Modbus
from vcproxy.protocols.modbus import (
    ModbusError,
    ModbusRequest,
    mbap_frame,
    parse_modbus_request,
)
from vcproxy.testing.proxy import SimulatedProxy

RTU = {"protocol": "rtu"}


def modbus(options: dict[str, Any] | None = None, **more: Any) -> SimulatedProxy:
    """A proxy with these options."""
    made, _ = read_options(Modbus, options or {}, Path())
    return SimulatedProxy(Modbus, options=made, **more)


def read(address: int, count: int = 1, function: int = 3) -> bytes:
    """The PDU of a request that reads registers."""
    return bytes((function,)) + address.to_bytes(2, "big") + count.to_bytes(2, "big")


def write(address: int, value: int) -> bytes:
    return b"\6" + address.to_bytes(2, "big") + value.to_bytes(2, "big")


def registers(unit: int, pdu: bytes) -> bytes:
    """The reply of a device: the register at address a of unit u has the value 100 * u + a."""
    if pdu[0] != 3:
        return pdu[:5]
    address, count = int.from_bytes(pdu[1:3], "big"), int.from_bytes(pdu[3:5], "big")
    values = [(100 * unit + address + each).to_bytes(2, "big") for each in range(count)]
    return bytes((3, 2 * count)) + b"".join(values)


def frames(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """The transaction id, the unit and the PDU of each frame of Modbus/TCP."""
    while data:
        size = 6 + int.from_bytes(data[4:6], "big")
        assert data[2:4] == b"\0\0"
        assert len(data) >= size, "a whole frame"
        yield int.from_bytes(data[:2], "big"), data[6], data[7:size]
        data = data[size:]


def received(peer: Peer) -> list[tuple[int, int, bytes]]:
    return list(frames(bytes(peer.received)))


def serve(reply: Callable[[int, bytes], bytes | None] = registers) -> Callable[[Peer], None]:
    """Return a function that makes a peer a device of Modbus/TCP."""

    def connected(peer: Peer) -> None:
        def answer(data: bytes) -> None:
            for transaction, unit, pdu in frames(data):
                found = reply(unit, pdu)
                if found is not None:
                    peer.send(mbap_frame(transaction, unit, found))

        peer.on_data = answer

    return connected


def line(reply: Callable[[int, bytes], bytes | None] = registers) -> Callable[[Peer], None]:
    """Return a function that makes a peer a line with RTU."""

    def connected(peer: Peer) -> None:
        def answer(data: bytes) -> None:
            assert rtu_frame(data[0], data[1:-2]) == data, "one request at a time"
            found = reply(data[0], data[1:-2])
            if found is not None:
                peer.send(rtu_frame(data[0], found))

        peer.on_data = answer

    return connected


def exception(request: bytes, error: ModbusError) -> bytes:
    return error.reply(request[0])


# -- ids -------------------------------------------------------------------------------------


def test_clients_with_equal_ids_get_their_own_replies() -> None:
    with modbus(on_connect={"server": serve()}) as proxy:
        clients = [proxy.client() for _ in range(5)]
        for number, client in enumerate(clients):
            client.send(mbap_frame(7, 1, read(number)) + mbap_frame(7, 2, read(number)))
        proxy.elapse(1)
        for number, client in enumerate(clients):
            assert received(client) == [
                (7, 1, registers(1, read(number))),
                (7, 2, registers(2, read(number))),
            ]
        assert proxy.connections() == 1
        server = proxy.server()
        ids = [transaction for transaction, _, _ in received(server)]
        assert sorted(set(ids)) == sorted(ids), "each request has an id of its own"


def test_a_device_gets_one_request_at_a_time() -> None:
    with modbus() as proxy:
        client, other = proxy.client(), proxy.client()
        client.send(mbap_frame(1, 1, read(1)) + mbap_frame(2, 1, read(2)))
        other.send(mbap_frame(1, 1, read(3)))
        server = proxy.server()
        asked = []
        for _ in range(3):
            proxy.elapse(0.1)
            [(transaction, unit, pdu)] = received(server)
            server.received.clear()
            asked.append(pdu)
            server.send(mbap_frame(transaction, unit, registers(unit, pdu)))
        assert asked == [read(1), read(3), read(2)], "clients take turns"


def test_the_same_on_a_line() -> None:
    with modbus(RTU, on_connect={"server": line()}) as proxy:
        clients = [proxy.client() for _ in range(3)]
        for number, client in enumerate(clients):
            client.send(mbap_frame(9, 1 + number, read(5, 2)) + mbap_frame(10, 4, write(5, 6)))
        proxy.elapse(1)
        for number, client in enumerate(clients):
            unit = 1 + number
            assert received(client) == [
                (9, unit, registers(unit, read(5, 2))),
                (10, 4, write(5, 6)),
            ]


# -- routing ---------------------------------------------------------------------------------

ROUTED = {
    "devices": [
        {"units": "1-9", "upstream": "line", "protocol": "rtu"},
        {"units": "21", "upstream": "inverter", "unit": 1},
    ]
}


def test_units_are_routed_and_renumbered() -> None:
    with modbus(
        ROUTED,
        upstreams={"line": ["line"], "inverter": ["inverter"]},
        on_connect={"server": serve(), "line": line(), "inverter": serve()},
    ) as proxy:
        client = proxy.client()
        for transaction, unit in enumerate((5, 21, 77)):
            client.send(mbap_frame(transaction, unit, read(3)))
        proxy.elapse(1)
        assert sorted(received(client)) == [
            (0, 5, registers(5, read(3))),
            (1, 21, registers(1, read(3))),
            (2, 77, registers(77, read(3))),
        ]
        for server in ("server", "line", "inverter"):
            assert proxy.connections(server) == 1


@pytest.mark.parametrize("units", ["1-9", "21"])
def test_all_units_of_an_upstream_speak_the_protocol_of_its_devices(units: str) -> None:
    """Also those that no device lists, where it is the listener's upstream."""
    options = {"devices": [{"units": units, "upstream": "upstream", "protocol": "rtu"}]}
    with modbus(options, on_connect={"server": line()}) as proxy:
        client = proxy.client()
        client.send(mbap_frame(1, 5, read(3)) + mbap_frame(2, 77, read(3)))
        proxy.elapse(1)
        assert received(client) == [
            (1, 5, registers(5, read(3))),
            (2, 77, registers(77, read(3))),
        ]


def test_without_devices_there_must_be_an_upstream() -> None:
    """Otherwise each request would get exception 10."""
    assert Modbus.upstreams(ModbusOptions()) == {("devices",): None}
    device = ModbusDevice(Numbers.parse("1"), "plc")
    assert not Modbus.upstreams(ModbusOptions(devices=(device,)))


def test_a_unit_without_a_device_is_answered_with_exception_10() -> None:
    with modbus(
        ROUTED, servers=(), upstreams={"line": ["line"], "inverter": ["inverter"]}
    ) as proxy:
        client = proxy.client()
        client.send(mbap_frame(1, 77, read(3)) + mbap_frame(2, 0, read(3)))
        proxy.elapse(1)
        no_path = exception(read(3), ModbusError.NO_PATH)
        assert received(client) == [(1, 77, no_path), (2, 0, no_path)]
        assert proxy.metric("modbus_exceptions", code="10") == 2


def test_a_line_has_no_broadcasts() -> None:
    with modbus(RTU) as proxy:
        client = proxy.client()
        client.send(mbap_frame(1, 0, write(1, 2)))
        proxy.elapse(1)
        assert received(client) == [(1, 0, exception(write(1, 2), ModbusError.NO_PATH))]
        assert proxy.connections() == 0


# -- rules -----------------------------------------------------------------------------------

FORBIDDEN = ModbusError.ILLEGAL_FUNCTION
ELSEWHERE = ModbusError.ILLEGAL_ADDRESS
WRONG = ModbusError.ILLEGAL_VALUE


@pytest.mark.parametrize(
    ("options", "unit", "request_", "error"),
    [
        ({}, 1, write(1, 2), None),
        ({}, 1, b"\x5a\0", FORBIDDEN),
        ({}, 1, read(1, 126), WRONG),
        ({}, 1, read(0xFFFF, 2), ELSEWHERE),
        ({}, 1, read(1)[:-1], WRONG),
        ({"read_only": True}, 1, write(1, 2), FORBIDDEN),
        ({"read_only": True}, 1, read(1), None),
        ({"allow": [{"functions": "3"}]}, 1, read(1), None),
        ({"allow": [{"functions": "3"}]}, 1, read(1, function=4), FORBIDDEN),
        ({"allow": [{"units": "2"}]}, 1, read(1), FORBIDDEN),
        ({"allow": [{"addresses": "10-19, 40"}]}, 1, read(10, 10), None),
        ({"allow": [{"addresses": "10-19, 40"}]}, 1, read(10, 11), ELSEWHERE),
        ({"allow": [{"addresses": "10-19"}, {"addresses": "20-29"}]}, 1, read(15, 10), ELSEWHERE),
        ({"allow": [{"units": "2", "addresses": "1"}, {"functions": "6"}]}, 1, read(1), FORBIDDEN),
        ({"allow": [{"functions": "3"}, {"addresses": "1"}]}, 1, write(1, 2), None),
        ({"allow": [{"functions": "3"}, {"addresses": "1"}]}, 1, write(2, 2), ELSEWHERE),
        ({"read_only": True, "allow": [{"functions": "6"}]}, 1, write(1, 2), FORBIDDEN),
    ],
)
def test_only_what_is_allowed_is_forwarded(
    options: dict[str, Any], unit: int, request_: bytes, error: ModbusError | None
) -> None:
    with modbus(options, on_connect={"server": serve()}) as proxy:
        client = proxy.client()
        client.send(mbap_frame(1, unit, request_) + mbap_frame(2, unit, request_))
        proxy.elapse(1)
        reply = registers(unit, request_) if error is None else exception(request_, error)
        assert received(client) == [(1, unit, reply), (2, unit, reply)]
        assert proxy.connections() == (error is None)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"devices": [{"units": "300", "upstream": "a"}]}, "a unit id is 0-255"),
        ({"devices": [{"units": "x", "upstream": "a"}]}, '"x" is no number'),
        ({"devices": [{"units": "1", "upstream": "a", "protocol": "ascii"}]}, "protocol"),
        ({"allow": [{"adresses": "1"}]}, "adresses"),
        (
            {
                "devices": [
                    {"units": "1", "upstream": "a"},
                    {"units": "2", "upstream": "a", "protocol": "rtu"},
                ]
            },
            'upstream "a" has two protocols',
        ),
        ({"attempts": 0}, "attempts"),
        ({"timeout": "0s"}, "timeout"),
        ({"queue_timeout": "0s"}, "queue_timeout"),
        ({"allow": [{"units": "1, 256"}]}, "a unit id is 0-255"),
        ({"allow": [{"functions": "0"}]}, "a function code is 1-127"),
        ({"allow": [{"addresses": "65536"}]}, "an address is 0-65535"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], why: str) -> None:
    with pytest.raises(OptionsError, match=why):
        read_options(Modbus, options, Path())


# -- cache -----------------------------------------------------------------------------------


def test_equal_reads_within_the_window_cost_the_device_one() -> None:
    with modbus({"cache": "1s"}, on_connect={"server": serve()}) as proxy:
        clients = [proxy.client() for _ in range(10)]
        for number, client in enumerate(clients):
            client.send(mbap_frame(number, 1, read(4)))
        proxy.elapse(0.5)
        clients[0].send(mbap_frame(99, 1, read(4)) + mbap_frame(100, 2, read(4)))
        proxy.elapse(0.1)
        reply = registers(1, read(4))
        for number, client in enumerate(clients):
            assert received(client)[0] == (number, 1, reply), "each with its own id"
        assert received(clients[0])[1:] == [(99, 1, reply), (100, 2, registers(2, read(4)))]
        server = proxy.server()
        assert [(unit, pdu) for _, unit, pdu in received(server)] == [(1, read(4)), (2, read(4))]
        proxy.elapse(1)
        clients[0].send(ASKED)
        clients[1].send(mbap_frame(101, 1, read(4)))
        proxy.elapse(0.1)
        assert len(received(server)) == 4, "the window is over"


def test_after_a_write_registers_are_read_again() -> None:
    values = [7]

    def reply(unit: int, pdu: bytes) -> bytes:
        if pdu[0] == 6:
            values[0] = pdu[4]
            return pdu
        return bytes((3, 2, 0, values[0]))

    with modbus({"cache": "1m"}, on_connect={"server": serve(reply)}) as proxy:
        client, other = proxy.client(), proxy.client()
        for each in (client, other):
            each.send(mbap_frame(1, 1, read(4)))
        proxy.elapse(0.1)
        other.send(mbap_frame(2, 1, write(4, 8)))
        proxy.elapse(0.1)
        client.send(mbap_frame(2, 1, read(4)))
        proxy.elapse(0.1)
        assert [pdu[-1] for _, _, pdu in received(client)] == [7, 8]


def test_without_a_cache_each_request_is_sent() -> None:
    with modbus(on_connect={"server": serve()}) as proxy:
        for _ in range(3):
            proxy.client().send(ASKED)
        proxy.elapse(1)
        assert len(received(proxy.server())) == 3


# -- bad input of clients --------------------------------------------------------------------

ASKED = mbap_frame(1, 1, read(4, 2))
ANSWERED = (1, 1, registers(1, read(4, 2)))


@pytest.mark.parametrize("pieces", [1, 2, 10, len(ASKED)])
def test_a_request_may_arrive_in_pieces(pieces: int) -> None:
    with modbus(on_connect={"server": serve()}) as proxy:
        client = proxy.client()
        size = -(-len(ASKED) // pieces)
        for at in range(0, len(ASKED), size):
            client.send(ASKED[at : at + size])
            proxy.elapse(0.1)
        assert received(client) == [ANSWERED]


def test_two_requests_may_arrive_together() -> None:
    with modbus(on_connect={"server": serve()}) as proxy:
        client = proxy.client()
        client.send(ASKED + ASKED)
        proxy.elapse(1)
        assert received(client) == [ANSWERED, ANSWERED]


@pytest.mark.parametrize(
    ("bad", "counted"),
    [
        pytest.param(b"\0\1\0\1\0\6\1\3\0\4\0\2", "invalid", id="another protocol id"),
        pytest.param(b"\0\1\0\0\0\1\1\3", "invalid", id="a length of less than a function"),
        pytest.param(b"\0\1\0\0\1\0\1\3" + bytes(254), "oversized", id="over-long"),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", "invalid", id="garbage"),
        pytest.param(ASKED[:-1], "truncated", id="half a request before the end"),
    ],
)
def test_after_a_broken_frame_the_client_is_not_read(bad: bytes, counted: str) -> None:
    with modbus(on_connect={"server": serve()}) as proxy:
        client = proxy.client()
        client.send(ASKED + bad)
        client.end()
        proxy.elapse(1)
        assert received(client) == [ANSWERED], "what came before is answered"
        assert client.ended
        assert proxy.service.counts[counted] == 1
        assert [pdu for _, _, pdu in received(proxy.server())] == [read(4, 2)]


@pytest.mark.parametrize("lie", [-1, 1])
def test_a_length_that_lies_is_no_valid_request(lie: int) -> None:
    with modbus(on_connect={"server": serve()}) as proxy:
        client = proxy.client()
        lying = bytearray(ASKED)
        lying[5] += lie
        client.send(bytes(lying) + bytes(12))
        client.end()
        proxy.elapse(1)
        assert received(client)[0] == (1, 1, exception(read(1), ModbusError.ILLEGAL_VALUE))
        assert proxy.connections() == 0, "nothing is forwarded"


# -- bad devices -----------------------------------------------------------------------------

FAST = {"timeout": "500ms", "queue_timeout": "2s", "attempts": 1}
SILENT = ModbusError.NO_RESPONSE.reply(3)


def test_an_exception_of_the_device_is_passed_on() -> None:
    busy = ModbusError.BUSY.reply(3)
    for options, peer in (({}, serve(lambda *_: busy)), (RTU, line(lambda *_: busy))):
        with modbus(options, on_connect={"server": peer}) as proxy:
            client = proxy.client()
            client.send(ASKED)
            proxy.elapse(1)
            assert received(client) == [(1, 1, busy)]


def test_a_silent_unit_is_answered_with_exception_11_and_the_others_are_served() -> None:
    def reply(unit: int, pdu: bytes) -> bytes | None:
        return None if unit == 5 else registers(unit, pdu)

    for options, peer in ((FAST, serve(reply)), (FAST | RTU, line(reply))):
        with modbus(options, on_connect={"server": peer}) as proxy:
            client, other = proxy.client(), proxy.client()
            client.send(mbap_frame(1, 5, read(4)))
            other.send(mbap_frame(2, 1, read(4)))
            proxy.elapse(2)
            assert received(client) == [(1, 5, SILENT)]
            assert received(other) == [(2, 1, registers(1, read(4)))]
            assert proxy.service.counts["timed_out"] == 1


def test_a_read_is_sent_again_and_a_write_is_not() -> None:
    with modbus({**FAST, "attempts": 3}) as proxy:
        client = proxy.client()
        client.send(mbap_frame(1, 1, read(4)) + mbap_frame(2, 1, write(4, 5)))
        proxy.elapse(3)
        asked = [pdu for peer in proxy.peers() for _, _, pdu in received(peer)]
        assert asked == [read(4)] * 3 + [write(4, 5)]
        assert [pdu for _, _, pdu in received(client)] == [SILENT, b"\x86\x0b"]


def test_a_request_that_waits_too_long_is_answered_with_exception_6() -> None:
    with modbus({**FAST, "queue_timeout": "800ms"}) as proxy:
        client, *others = (proxy.client() for _ in range(3))
        for each in (client, *others):
            each.send(ASKED)
        proxy.elapse(3)
        assert [received(each)[0][2] for each in (client, *others)] == [
            SILENT,
            SILENT,
            ModbusError.BUSY.reply(3),
        ]


def test_a_device_that_cannot_be_reached_is_answered_with_exception_10() -> None:
    with modbus(FAST, refusing=["server"]) as proxy:
        client = proxy.client()
        client.send(ASKED)
        proxy.elapse(3)
        assert received(client) == [(1, 1, ModbusError.NO_PATH.reply(3))]


def test_a_late_reply_is_dropped() -> None:
    with modbus(FAST) as proxy:
        client = proxy.client()
        client.send(ASKED)
        server = proxy.server()
        proxy.elapse(1)
        [(late, _, _)] = received(server)
        client.send(mbap_frame(2, 1, read(9)))
        proxy.elapse(0.1)
        _, (now, _, _) = received(server)
        server.send(mbap_frame(late, 1, registers(1, read(4, 2))))
        server.send(mbap_frame(now, 1, registers(1, read(9))))
        proxy.elapse(0.1)
        assert received(client) == [(1, 1, SILENT), (2, 1, registers(1, read(9)))]
        assert proxy.service.counts["late"] == 1


def test_on_a_line_a_late_reply_is_not_taken_for_that_of_the_next_request() -> None:
    """Not even of a request for the same unit and function, which waits for it."""
    with modbus(FAST | RTU) as proxy:
        client = proxy.client()
        client.send(ASKED)
        line = proxy.server()
        proxy.elapse(0.6)
        assert received(client) == [(1, 1, SILENT)]
        line.received.clear()
        client.send(mbap_frame(2, 1, read(9)))
        proxy.elapse(0.2)
        assert line.received == b""
        line.send(rtu_frame(1, registers(1, read(4, 2))))
        proxy.elapse(0.1)
        assert line.received == rtu_frame(1, read(9))
        line.send(rtu_frame(1, registers(1, read(9))))
        proxy.elapse(0.1)
        assert received(client) == [(1, 1, SILENT), (2, 1, registers(1, read(9)))]
        assert proxy.service.counts["late"] == 1


def test_on_a_line_a_reply_that_does_not_come_holds_up_its_unit_and_function_only() -> None:
    with modbus(FAST | RTU) as proxy:
        client, other = proxy.client(), proxy.client()
        client.send(ASKED)
        line = proxy.server()
        proxy.elapse(0.6)
        client.send(mbap_frame(2, 1, read(9)))
        other.send(mbap_frame(1, 2, read(9)))
        proxy.elapse(0.1)
        assert line.received == rtu_frame(1, read(4, 2)) + rtu_frame(2, read(9))
        line.received.clear()
        line.send(rtu_frame(2, registers(2, read(9))))
        proxy.elapse(0.7)
        assert received(other) == [(1, 2, registers(2, read(9)))]
        assert line.received == b""
        proxy.elapse(0.2)  # three times 0.5 s since it was sent
        assert line.received == rtu_frame(1, read(9))


@pytest.mark.parametrize("delay", [0.05, 0.6, 0.75, 0.95])
def test_a_slow_line_gives_each_client_its_own_values(delay: float) -> None:
    """Asked again after 0.5 s, the device answers twice, one after the other."""
    with modbus(RTU | {"timeout": "500ms", "queue_timeout": "60s"}) as proxy:
        clients = [proxy.client() for _ in range(4)]
        for number, client in enumerate(clients):
            client.send(mbap_frame(number, 1, read(number)) + mbap_frame(9, 1, read(9 + number)))
        line = proxy.server()
        for _ in range(200):
            if line.received:
                frame = bytes(line.received[:8])
                del line.received[:8]
                proxy.elapse(delay)
                line.send(rtu_frame(1, registers(1, frame[1:6])))
            proxy.elapse(0.01)
        assert [received(client) for client in clients] == [
            [(number, 1, registers(1, read(number))), (9, 1, registers(1, read(9 + number)))]
            for number in range(4)
        ]


def test_a_line_is_not_closed_before_the_reply_to_a_client_that_has_left() -> None:
    """It would come on the next connection, and be taken for that of the next client."""
    with modbus(FAST | RTU) as proxy:
        leaving = proxy.client()
        leaving.send(ASKED)
        line = proxy.server()
        proxy.elapse(0.1)
        leaving.reset()
        proxy.elapse(0.1)
        assert not line.ended
        client = proxy.client()
        client.send(mbap_frame(2, 1, read(9, 2)))
        proxy.elapse(0.1)
        line.send(rtu_frame(1, registers(1, read(4, 2))))
        proxy.elapse(0.1)
        line.send(rtu_frame(1, registers(1, read(9, 2))))
        proxy.elapse(0.1)
        assert received(client) == [(2, 1, registers(1, read(9, 2)))]
        client.end()
        proxy.elapse(0.1)
        assert line.ended


def test_a_line_is_closed_when_the_reply_does_not_come() -> None:
    with modbus(FAST | RTU) as proxy:
        leaving = proxy.client()
        leaving.send(ASKED)
        line = proxy.server()
        proxy.elapse(0.1)
        leaving.reset()
        proxy.elapse(1.3)
        assert not line.ended
        proxy.elapse(0.2)
        assert line.ended


WRONG_REPLIES = {
    "of another function": (1, b"\4\4\0\0\0\0"),
    "of another unit": (2, registers(1, read(4, 2))),
    "for fewer registers": (1, registers(1, read(4, 1))),
    "cut": (1, registers(1, read(4, 2))[:-1]),
    "with a count that lies": (1, b"\3\5\0\0\0\0"),
    "an exception of another function": (1, b"\x84\2"),
    "an exception that is too long": (1, b"\x83\2\0"),
}


@pytest.mark.parametrize(("unit", "pdu"), WRONG_REPLIES.values(), ids=WRONG_REPLIES)
def test_what_is_not_the_reply_is_not_forwarded(unit: int, pdu: bytes) -> None:
    def answer(peer: Peer) -> None:
        def data(request: bytes) -> None:
            peer.send(mbap_frame(int.from_bytes(request[:2], "big"), unit, pdu))

        peer.on_data = data

    with modbus(FAST, on_connect={"server": answer}) as proxy:
        client = proxy.client()
        client.send(ASKED)
        proxy.elapse(0.1)
        assert received(client) == [(1, 1, SILENT)]
        assert proxy.service.counts["wrong_replies"] == 1
        assert "is not the reply to 000100000006010300040002" in "".join(proxy.log)


def test_a_reply_to_an_id_that_was_not_sent_is_dropped() -> None:
    with modbus(FAST) as proxy:
        client = proxy.client()
        client.send(ASKED)
        server = proxy.server()
        proxy.elapse(0.1)
        [(number, unit, pdu)] = received(server)
        server.send(mbap_frame(number + 1, unit, b"\3\4\0\0\0\0"))
        server.send(mbap_frame(number, unit, registers(unit, pdu)))
        proxy.elapse(0.1)
        assert received(client) == [ANSWERED]
        assert proxy.service.counts["orphan"] == 1


@pytest.mark.parametrize("options", [{}, RTU], ids=["tcp", "rtu"])
def test_a_device_that_resets_is_asked_again(options: dict[str, Any]) -> None:
    opened: list[Peer] = []

    def connected(peer: Peer) -> None:
        opened.append(peer)
        if len(opened) == 1:
            peer.on_data = lambda _: peer.reset()
        else:
            (line if options else serve)()(peer)

    with modbus({**options, "attempts": 2}, on_connect={"server": connected}) as proxy:
        client, other = proxy.client(), proxy.client()
        client.send(ASKED)
        other.send(ASKED)
        proxy.elapse(1)
        assert received(client) == received(other) == [ANSWERED]
        assert len(opened) == 2


def test_half_a_reply_before_the_end_is_not_forwarded() -> None:
    def cut(peer: Peer) -> None:
        def data(request: bytes) -> None:
            number = int.from_bytes(request[:2], "big")
            peer.send(mbap_frame(number, 1, registers(1, read(4, 2)))[:-1])
            peer.close()

        peer.on_data = data

    with modbus(FAST, on_connect={"server": cut}) as proxy:
        client = proxy.client()
        client.send(ASKED)
        proxy.elapse(1)
        assert received(client) == [(1, 1, SILENT)]


def test_a_reply_with_a_wrong_crc_is_not_forwarded_and_the_next_is_found() -> None:
    good = rtu_frame(1, registers(1, read(4, 2)))
    replies = [good[:-1] + b"?", good]

    def noisy(peer: Peer) -> None:
        peer.on_data = lambda _: peer.send(replies.pop(0))

    with modbus(FAST | RTU, on_connect={"server": noisy}) as proxy:
        client = proxy.client()
        client.send(ASKED)
        proxy.elapse(1)
        assert received(client) == [(1, 1, SILENT)]
        client.send(ASKED)
        proxy.elapse(1)
        assert received(client) == [(1, 1, SILENT), ANSWERED]


def test_noise_before_a_reply_of_a_line_does_not_shift_the_replies() -> None:
    """Were the request sent again at once, the reply to its copy would be taken for the next."""
    with modbus(RTU) as proxy:
        first, second = proxy.client(), proxy.client()
        first.send(mbap_frame(1, 1, read(0)))
        server = proxy.server()
        proxy.elapse(0.1)
        server.send(b"\xff\xff\xff")
        proxy.elapse(0.1)
        server.send(rtu_frame(1, registers(1, read(0))))
        proxy.elapse(0.1)
        assert received(first) == [(1, 1, registers(1, read(0)))]
        second.send(mbap_frame(2, 1, read(50)))
        proxy.elapse(0.1)
        assert server.received == rtu_frame(1, read(0)) + rtu_frame(1, read(50))
        server.send(rtu_frame(1, registers(1, read(50))))
        proxy.elapse(0.1)
        assert received(second) == [(2, 1, registers(1, read(50)))]


def test_garbage_between_replies_of_a_line_is_dropped() -> None:
    good = rtu_frame(1, registers(1, read(4, 2)))
    with modbus(FAST | RTU) as proxy:
        client = proxy.client()
        client.send(ASKED)
        server = proxy.server()
        proxy.elapse(0.1)
        server.send(good + b"\xff\xff\xff")
        proxy.elapse(0.1)
        client.send(ASKED)
        proxy.elapse(0.1)
        server.send(good)
        proxy.elapse(0.1)
        assert received(client) == [ANSWERED, ANSWERED]


# -- any bytes -------------------------------------------------------------------------------

VALID = [
    read(4, 2),
    read(9, function=4),
    write(5, 6),
    b"\x10\0\4\0\1\2\0\7",
    b"\7",
    b"\x2b\x0e\1\0",
]


def mangled(valid: list[bytes]) -> st.SearchStrategy[bytes]:
    """Streams of frames that are right, cut, changed in a byte, or nothing of the kind."""
    right = st.sampled_from(valid)
    cut = right.flatmap(lambda data: st.integers(0, len(data)).map(lambda end: data[:end]))
    changed = st.tuples(right, st.integers(0, 300), st.integers(0, 255)).map(
        lambda given: (
            given[0][: given[1] % len(given[0])]
            + bytes((given[2],))
            + given[0][given[1] % len(given[0]) + 1 :]
        )
    )
    return st.lists(st.one_of(right, cut, changed, st.binary(max_size=9)), max_size=6).map(b"".join)


@settings(max_examples=60, deadline=None)
@given(sent=mangled([mbap_frame(7, unit, pdu) for unit in (1, 2) for pdu in VALID]))
@pytest.mark.parametrize("protocol", ["tcp", "rtu"])
def test_a_device_gets_valid_requests_that_are_allowed_whatever_is_sent(
    protocol: str, sent: bytes
) -> None:
    rules = {**FAST, "protocol": protocol, "allow": [{"units": "1", "addresses": "0-9"}]}
    with modbus(rules) as proxy:
        client = proxy.client()
        client.send(sent)
        client.end()
        proxy.run()
        for peer in proxy.peers():
            data = bytes(peer.received)
            if protocol == "tcp":
                asked = [(unit, pdu) for _, unit, pdu in frames(data)]
            else:
                found = modbus_rtu("request").decoder().feed(data)
                assert not any(isinstance(each, Damaged) for each in found)
                asked = [(frame[0], frame[1:-2]) for frame in found]  # type: ignore[misc]
            for unit, pdu in asked:
                request = parse_modbus_request(pdu)
                assert unit == 1
                assert isinstance(request, ModbusRequest)
                assert {*request.reads, *request.writes} <= set(range(10))


@settings(max_examples=60, deadline=None)
@given(sent=mangled([mbap_frame(number, 1, registers(1, read(4, 2))) for number in range(3)]))
def test_a_client_gets_valid_replies_to_its_requests_whatever_a_device_sends(sent: bytes) -> None:
    with modbus({**FAST, "in_flight": 0, "timeout": "100ms"}) as proxy:
        client, other = proxy.client(), proxy.client()
        client.send(mbap_frame(70, 1, read(4, 2)) + mbap_frame(71, 1, read(4)))
        other.send(mbap_frame(80, 1, write(4, 2)))
        server = proxy.server()
        proxy.elapse(0.01)
        server.send(sent)
        proxy.elapse(1)
        right = {70: read(4, 2), 71: read(4), 80: write(4, 2)}
        for peer, numbers in ((client, [70, 71]), (other, [80])):
            assert sorted(number for number, _, _ in received(peer)) == numbers
            for number, unit, pdu in received(peer):
                request = parse_modbus_request(right[number])
                assert unit == 1
                assert isinstance(request, ModbusRequest)
                assert request.answered_by(pdu)
