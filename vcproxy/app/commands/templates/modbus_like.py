"""The template `modbus-like`: clients share a device that takes one request at a time.

Tested in tests/app/test_plugin_command.py.
"""

PLUGIN = '''\
"""{name}: clients share one device over Modbus/TCP; they may read, and not write."""

from collections.abc import Iterator

from vcproxy.api import Keyed, Part, Reject, Splitter, Unanswered, mbap

READS = 1, 2, 3, 4
ILLEGAL_FUNCTION, BUSY, NO_PATH, NO_RESPONSE = 1, 6, 10, 11


class {Name}(Splitter):
    """Sends one request at a time, with an id of its own; equal reads get one answer."""

    framing = mbap()  # transaction (2 bytes), protocol (2), length (2), unit, function, data
    in_flight = 1
    timeout_s = 1.0
    shares_s = 0.5

    def key(self, request: bytes) -> Keyed | Reject:
        """Choose the id of the request at the device, or reject it."""
        if request[7] not in READS:
            return Reject(exception(request, ILLEGAL_FUNCTION), keep=True)
        number = self.fresh_id(1 << 16).to_bytes(2, "big")
        return Keyed(number, rewritten=number + request[2:], shares=request[2:])

    @classmethod
    def split(cls, reply: bytes, options: object) -> Iterator[Part]:
        """Return the reply with its id, by which it finds its request."""
        yield Part(reply[:2], reply)

    def restore(self, request: bytes, part: bytes) -> bytes:
        """Give the client its own id back."""
        return request[:2] + part[2:]

    def unanswered(self, request: bytes, why: Unanswered) -> bytes:
        """Answer for a device that does not."""
        codes = {{Unanswered.NOT_SENT: BUSY, Unanswered.NO_SERVER: NO_PATH}}
        return exception(request, codes.get(why, NO_RESPONSE))


def exception(request: bytes, code: int) -> bytes:
    """Return the reply with an exception."""
    return request[:4] + bytes((0, 3, request[6], request[7] | 0x80, code))
'''

TEST = '''\
"""{name}: what the device gets, and what its clients get."""

from vcproxy.testing import SimulatedProxy

from {name} import {Name}


def frame(number: int, pdu: str, unit: int = 1) -> bytes:
    """Return a frame with the id of a transaction."""
    data = bytes((unit,)) + bytes.fromhex(pdu)
    return number.to_bytes(2, "big") + bytes((0, 0, 0, len(data))) + data


READ, OTHER, VALUE = "03 0000 0001", "03 0008 0001", "03 02 002a"


def test_two_clients_with_one_id_each_get_their_own_answer() -> None:
    with SimulatedProxy({Name}) as proxy:
        ann, bob = proxy.client(), proxy.client()
        ann.send(frame(7, READ))
        device = proxy.server()
        bob.send(frame(7, OTHER))
        proxy.elapse(0.2)
        assert device.received == frame(0, READ)  # one at a time
        device.send(frame(0, VALUE))
        proxy.elapse(0.2)
        assert device.received == frame(0, READ) + frame(1, OTHER)
        device.send(frame(1, "83 02"))
        proxy.elapse(0.2)
        assert ann.received == frame(7, VALUE)
        assert bob.received == frame(7, "83 02")


def test_ten_equal_reads_cost_the_device_one() -> None:
    with SimulatedProxy({Name}) as proxy:
        clients = [proxy.client() for _ in range(10)]
        for number, client in enumerate(clients):
            client.send(frame(number, READ))
        device = proxy.server()
        proxy.elapse(0.2)
        device.send(frame(0, VALUE))
        proxy.elapse(0.2)
        assert device.received == frame(0, READ)
        for number, client in enumerate(clients):
            assert client.received == frame(number, VALUE)


def test_a_write_is_answered_at_once() -> None:
    with SimulatedProxy({Name}) as proxy:
        client = proxy.client()
        client.send(frame(7, "06 0000 0001"))
        proxy.elapse(0.2)
        assert client.received == frame(7, "86 01")
        assert proxy.connections() == 0


def test_a_silent_device_is_answered_for() -> None:
    with SimulatedProxy({Name}) as proxy:
        client = proxy.client()
        client.send(frame(7, READ))
        proxy.elapse(2)
        assert client.received == frame(7, "83 0b")
'''
