"""modbus: what its PDUs say: their lengths, what a request reads and writes, what answers it.

    request = parse_modbus_request(frame[7:])
    if isinstance(request, ModbusError):
        answer = mbap_frame(transaction, unit, request.reply(frame[7]))

A PDU is a function code and its data, without the unit and the check around it (MODBUS Application
Protocol Specification 1.1b3, section 4.1: 1 to 253 bytes). The functions are those of its section 6
whose length can be told from their bytes; 43 only with MEI type 14. All is values; no I/O.
Tested in tests.protocols.test_modbus.py.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from functools import lru_cache
from struct import Struct
from typing import NamedTuple, TypeAlias

MAX_PDU = 253
"""Bytes: a frame of a serial line has 256, with the unit and the CRC (section 4.1)."""
EXCEPTION = 0x80
"""Set in the function code of a reply that is an exception; the next byte is its code."""
NOTHING = range(0)
_MBAP = Struct(">HHHB")


def mbap_frame(transaction: int, unit: int, pdu: bytes) -> bytes:
    """Return a frame of Modbus/TCP: a header with the ids, and the PDU (MODBUS Messaging on TCP/IP
    1.0b, section 3.1.3). Raises struct.error for an id that has no place in it."""
    return _MBAP.pack(transaction, 0, len(pdu) + 1, unit) + pdu


class ModbusError(IntEnum):
    """The codes of exceptions (section 7)."""

    ILLEGAL_FUNCTION = 1
    ILLEGAL_ADDRESS = 2
    ILLEGAL_VALUE = 3
    DEVICE_FAILURE = 4
    BUSY = 6
    NO_PATH = 10
    """Of a gateway: there is no way to the device."""
    NO_RESPONSE = 11
    """Of a gateway: the device does not answer."""

    def reply(self, function: int) -> bytes:
        """Return the PDU of this exception, in answer to a function."""
        return bytes((function | EXCEPTION, self))


class ModbusRequest(NamedTuple):
    """A request that is valid: made by `parse_modbus_request`."""

    pdu: bytes
    reads: range
    """Addresses of the coils, inputs or registers that it reads; empty: none."""
    writes: range
    """The same for what it writes."""
    head: bytes
    """What the reply begins with, unless it is an exception."""
    size: int
    """Bytes of the reply, unless it is an exception; 0: as the reply itself says."""

    @property
    def changes(self) -> bool:
        """Whether the device may be changed by it: all functions but the READ_ONLY."""
        return self.pdu[0] not in READ_ONLY

    def answered_by(self, reply: bytes) -> bool:
        """Return whether a PDU can be the reply: function, length, and what a reply repeats."""
        if reply.startswith(self.head):
            return len(reply) == (self.size or reply_length(reply, 0))
        return len(reply) == 2 and reply[0] == self.pdu[0] | EXCEPTION


READ_ONLY = frozenset({1, 2, 3, 4, 7, 11, 12, 17, 20, 24, 43})
"""The functions that change nothing. Not 8: diagnostics may restart the device or silence it."""

Checked: TypeAlias = ModbusRequest | ModbusError
_Check: TypeAlias = Callable[[bytes], Checked]


@lru_cache(1024)  # clients poll: the same requests, some hundred of them, come again and again
def parse_modbus_request(pdu: bytes) -> Checked:
    """Return the request, or the exception that is its answer by sections 6 and 7.

    ILLEGAL_FUNCTION: its layout is not defined; ILLEGAL_VALUE: its length or a quantity is wrong;
    ILLEGAL_ADDRESS: it goes past address 65535.
    """
    check = _REQUESTS.get(pdu[0]) if pdu else None
    return ModbusError.ILLEGAL_FUNCTION if check is None else check(pdu)


def _range(pdu: bytes, at: int, most: int) -> range | ModbusError:
    """The range of an address and a quantity, 2 bytes each."""
    start, count = pdu[at] << 8 | pdu[at + 1], pdu[at + 2] << 8 | pdu[at + 3]
    if not 0 < count <= most:
        return ModbusError.ILLEGAL_VALUE
    return range(start, start + count) if start + count <= 1 << 16 else ModbusError.ILLEGAL_ADDRESS


def _reading(most: int, bits: int) -> _Check:
    """Functions 1 to 4: up to `most` values of `bits` are read."""

    def check(pdu: bytes) -> Checked:
        if len(pdu) != 5:
            return ModbusError.ILLEGAL_VALUE
        reads = _range(pdu, 1, most)
        if type(reads) is not range:
            return reads
        size = (len(reads) * bits + 7) >> 3
        return ModbusRequest(pdu, reads, NOTHING, bytes((pdu[0], size)), size + 2)

    return check


def _write_one(pdu: bytes) -> Checked:
    """Functions 5 and 6. A coil is written with FF00 or 0000 (section 6.5)."""
    if len(pdu) != 5 or (pdu[0] == 5 and pdu[3:] not in (b"\xff\0", b"\0\0")):
        return ModbusError.ILLEGAL_VALUE
    address = pdu[1] << 8 | pdu[2]
    return ModbusRequest(pdu, NOTHING, range(address, address + 1), pdu, 5)


def _writing(most: int, bits: int) -> _Check:
    """Functions 15 and 16: up to `most` values of `bits` are written."""

    def check(pdu: bytes) -> Checked:
        if len(pdu) < 6 or len(pdu) != 6 + pdu[5]:
            return ModbusError.ILLEGAL_VALUE
        writes = _range(pdu, 1, most)
        if type(writes) is not range:
            return writes
        if pdu[5] != (len(writes) * bits + 7) >> 3:
            return ModbusError.ILLEGAL_VALUE
        return ModbusRequest(pdu, NOTHING, writes, pdu[:5], 5)

    return check


def _read_and_write(pdu: bytes) -> Checked:
    """Function 23: up to 125 registers are read, and up to 121 are written (section 6.17)."""
    if len(pdu) < 10 or len(pdu) != 10 + pdu[9]:
        return ModbusError.ILLEGAL_VALUE
    reads, writes = _range(pdu, 1, 125), _range(pdu, 5, 121)
    if type(reads) is not range:
        return reads
    if type(writes) is not range:
        return writes
    if pdu[9] != 2 * len(writes):
        return ModbusError.ILLEGAL_VALUE
    size = 2 * len(reads)
    return ModbusRequest(pdu, reads, writes, bytes((23, size)), size + 2)


def _mask(pdu: bytes) -> Checked:
    """Function 22: bits of one register are changed; the reply repeats the request."""
    if len(pdu) != 7:
        return ModbusError.ILLEGAL_VALUE
    address = pdu[1] << 8 | pdu[2]
    return ModbusRequest(pdu, NOTHING, range(address, address + 1), pdu, 7)


def _of_size(size: int, repeated: int = 1) -> _Check:
    """Functions without addresses; the reply begins with `repeated` bytes of the request."""

    def check(pdu: bytes) -> Checked:
        if len(pdu) != size:
            return ModbusError.ILLEGAL_VALUE
        return ModbusRequest(pdu, NOTHING, NOTHING, pdu[:repeated], 0)

    return check


def _fifo(pdu: bytes) -> Checked:
    """Function 24: the registers of a queue are read, at one address."""
    if len(pdu) != 3:
        return ModbusError.ILLEGAL_VALUE
    address = pdu[1] << 8 | pdu[2]
    return ModbusRequest(pdu, range(address, address + 1), NOTHING, pdu[:1], 0)


def _file(least: int, most: int) -> _Check:
    """Functions 20 and 21: records of files, after a byte count (sections 6.14 and 6.15)."""

    def check(pdu: bytes) -> Checked:
        if len(pdu) < 2 or len(pdu) != 2 + pdu[1] or not least <= pdu[1] <= most:
            return ModbusError.ILLEGAL_VALUE
        repeated = pdu if pdu[0] == 21 else pdu[:1]
        return ModbusRequest(pdu, NOTHING, NOTHING, repeated, 0)

    return check


def _device_identification(pdu: bytes) -> Checked:
    """Function 43 with MEI type 14 (section 6.21); the layout of other types is not defined."""
    if len(pdu) > 1 and pdu[1] != 14:
        return ModbusError.ILLEGAL_FUNCTION
    if len(pdu) != 4:
        return ModbusError.ILLEGAL_VALUE
    return ModbusRequest(pdu, NOTHING, NOTHING, pdu[:3], 0)


_REQUESTS: dict[int, _Check] = {
    1: _reading(2000, 1),
    2: _reading(2000, 1),
    3: _reading(125, 16),
    4: _reading(125, 16),
    5: _write_one,
    6: _write_one,
    7: _of_size(1),
    8: _of_size(5, 3),
    11: _of_size(1),
    12: _of_size(1),
    15: _writing(1968, 1),
    16: _writing(123, 16),
    17: _of_size(1),
    20: _file(7, 0xF5),
    21: _file(9, 0xFB),
    22: _mask,
    23: _read_and_write,
    24: _fifo,
    43: _device_identification,
}

Layout: TypeAlias = tuple[int, int]
"""(where a byte count stands, or -1 for none; the length without what is counted)."""

_FIXED = -1
REQUEST_LAYOUTS: dict[int, Layout] = {
    **dict.fromkeys((1, 2, 3, 4, 5, 6, 8), (_FIXED, 5)),
    **dict.fromkeys((7, 11, 12, 17), (_FIXED, 1)),
    **dict.fromkeys((15, 16), (5, 6)),
    **dict.fromkeys((20, 21), (1, 2)),
    22: (_FIXED, 7),
    23: (9, 10),
    24: (_FIXED, 3),
    43: (_FIXED, 4),
}
REPLY_LAYOUTS: dict[int, Layout] = {
    **dict.fromkeys((1, 2, 3, 4, 12, 17, 20, 21, 23), (1, 2)),
    **dict.fromkeys((5, 6, 8, 11, 15, 16), (_FIXED, 5)),
    7: (_FIXED, 2),
    22: (_FIXED, 7),
}


def request_length(data: bytes, at: int) -> int:
    """Return the length of the PDU of the request that begins at `at`, or the part of it that is
    known: more than there is. 0: none begins there."""
    layout = REQUEST_LAYOUTS.get(data[at])
    return 0 if layout is None else _length(layout, data, at)


def reply_length(data: bytes, at: int) -> int:
    """Return the same for the reply that begins at `at`."""
    function = data[at]
    if function & EXCEPTION:
        return 2 if function & ~EXCEPTION in REQUEST_LAYOUTS else 0
    layout = REPLY_LAYOUTS.get(function)
    if layout is not None:
        return _length(layout, data, at)
    if function == 24:  # its count has 2 bytes, of which the first is 0: at most 31 registers
        return 3 if len(data) < at + 3 else 0 if data[at + 1] else 3 + data[at + 2]
    return _identification_length(data, at) if function == 43 else 0


def _length(layout: Layout, data: bytes, at: int) -> int:
    counted, length = layout
    if counted == _FIXED:
        return length
    if len(data) <= at + counted:
        return counted + 1
    length += data[at + counted]
    return length if length <= MAX_PDU else 0


def _identification_length(data: bytes, at: int) -> int:
    """Walk the objects of a device identification: each has an id, a length, and a value."""
    length = 7
    if len(data) > at + 1 and data[at + 1] != 14:
        return 0
    if len(data) < at + length:
        return length
    for _ in range(data[at + 6]):
        if len(data) < at + length + 2:
            return length + 2
        length += 2 + data[at + length + 1]
        if length > MAX_PDU:
            return 0
    return length
