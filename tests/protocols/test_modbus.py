"""PDUs of Modbus: lengths, validity and matching, as pymodbus encodes them."""

from __future__ import annotations

import pytest
from pymodbus.pdu import ModbusPDU
from pymodbus.pdu.bit_message import (
    ReadCoilsRequest,
    ReadCoilsResponse,
    ReadDiscreteInputsRequest,
    ReadDiscreteInputsResponse,
    WriteMultipleCoilsRequest,
    WriteMultipleCoilsResponse,
    WriteSingleCoilRequest,
    WriteSingleCoilResponse,
)
from pymodbus.pdu.file_message import (
    FileRecord,
    ReadFifoQueueRequest,
    ReadFifoQueueResponse,
    ReadFileRecordRequest,
    ReadFileRecordResponse,
    WriteFileRecordRequest,
    WriteFileRecordResponse,
)
from pymodbus.pdu.mei_message import (
    ReadDeviceInformationRequest,
    ReadDeviceInformationResponse,
)
from pymodbus.pdu.other_message import (
    GetCommEventCounterRequest,
    GetCommEventCounterResponse,
    GetCommEventLogRequest,
    GetCommEventLogResponse,
    ReadExceptionStatusRequest,
    ReadExceptionStatusResponse,
    ReportDeviceIdRequest,
    ReportDeviceIdResponse,
)
from pymodbus.pdu.register_message import (
    MaskWriteRegisterRequest,
    MaskWriteRegisterResponse,
    ReadHoldingRegistersRequest,
    ReadHoldingRegistersResponse,
    ReadInputRegistersRequest,
    ReadInputRegistersResponse,
    ReadWriteMultipleRegistersRequest,
    ReadWriteMultipleRegistersResponse,
    WriteMultipleRegistersRequest,
    WriteMultipleRegistersResponse,
    WriteSingleRegisterRequest,
    WriteSingleRegisterResponse,
)

from vcproxy.protocols.modbus import (
    NOTHING,
    READ_ONLY,
    ModbusError,
    ModbusRequest,
    parse_modbus_request,
    reply_length,
    request_length,
)

BITS = [True] * 10
REGISTERS = [7, 8, 9]
WANTED = FileRecord(file_number=4, record_number=1, record_length=2)
RECORD = FileRecord(file_number=4, record_number=1, record_data=b"abcd")

EXCHANGES: list[tuple[ModbusPDU, ModbusPDU]] = [
    (ReadCoilsRequest(address=5, count=10), ReadCoilsResponse(bits=BITS)),
    (ReadDiscreteInputsRequest(address=5, count=10), ReadDiscreteInputsResponse(bits=BITS)),
    (
        ReadHoldingRegistersRequest(address=5, count=3),
        ReadHoldingRegistersResponse(registers=REGISTERS),
    ),
    (
        ReadInputRegistersRequest(address=5, count=3),
        ReadInputRegistersResponse(registers=REGISTERS),
    ),
    (
        WriteSingleCoilRequest(address=5, bits=[True]),
        WriteSingleCoilResponse(address=5, bits=[True]),
    ),
    (
        WriteSingleRegisterRequest(address=5, registers=[7]),
        WriteSingleRegisterResponse(address=5, registers=[7]),
    ),
    (ReadExceptionStatusRequest(), ReadExceptionStatusResponse(3)),
    (GetCommEventCounterRequest(), GetCommEventCounterResponse(3)),
    (GetCommEventLogRequest(), GetCommEventLogResponse(events=[1, 2, 3])),
    (
        WriteMultipleCoilsRequest(address=5, bits=BITS),
        WriteMultipleCoilsResponse(address=5, count=10),
    ),
    (
        WriteMultipleRegistersRequest(address=5, registers=REGISTERS),
        WriteMultipleRegistersResponse(address=5, count=3),
    ),
    (ReportDeviceIdRequest(), ReportDeviceIdResponse(b"meter", True)),
    (ReadFileRecordRequest(records=[WANTED]), ReadFileRecordResponse(records=[RECORD])),
    (WriteFileRecordRequest(records=[RECORD]), WriteFileRecordResponse(records=[RECORD])),
    (MaskWriteRegisterRequest(5, 1, 2), MaskWriteRegisterResponse(5, 1, 2)),
    (
        ReadWriteMultipleRegistersRequest(
            read_address=5, read_count=3, write_address=90, write_registers=[1, 2]
        ),
        ReadWriteMultipleRegistersResponse(registers=REGISTERS),
    ),
    (ReadFifoQueueRequest(5), ReadFifoQueueResponse([7, 8])),
    (
        ReadDeviceInformationRequest(1, 0),
        ReadDeviceInformationResponse(1, {0: b"maker", 1: b"product", 2: b"1.0"}),
    ),
]


def encoded(message: ModbusPDU) -> bytes:
    return bytes((message.function_code,)) + message.encode()


PDUS = [(encoded(request), encoded(reply)) for request, reply in EXCHANGES]
each_exchange = pytest.mark.parametrize(
    ("request_", "reply"), PDUS, ids=[f"function {request[0]}" for request, _ in PDUS]
)


def parsed(pdu: bytes) -> ModbusRequest:
    request = parse_modbus_request(pdu)
    assert isinstance(request, ModbusRequest)
    return request


@each_exchange
def test_lengths_are_those_that_pymodbus_encodes(request_: bytes, reply: bytes) -> None:
    for pdu, length in ((request_, request_length), (reply, reply_length)):
        for begin in (b"", b"??"):
            data = begin + pdu + b"rest"
            assert length(data, len(begin)) == len(pdu)
            for cut in range(1, len(pdu)):
                known = length(begin + pdu[:cut], len(begin))
                assert cut < known <= len(pdu), "more than there is, and not too much"


@each_exchange
def test_a_request_is_valid_and_its_reply_answers_it(request_: bytes, reply: bytes) -> None:
    request = parsed(request_)
    assert request.pdu == request_
    assert request.answered_by(reply)
    assert request.answered_by(ModbusError.BUSY.reply(request_[0]))
    assert not request.answered_by(reply + b"x")
    assert not request.answered_by(reply[:-1])
    assert not request.answered_by(bytes((reply[0] ^ 1,)) + reply[1:])
    assert not request.answered_by(ModbusError.BUSY.reply(request_[0] ^ 1))


@each_exchange
def test_no_part_and_no_longer_request_is_valid(request_: bytes, reply: bytes) -> None:
    assert parse_modbus_request(b"") is ModbusError.ILLEGAL_FUNCTION
    for cut in range(1, len(request_)):
        assert parse_modbus_request(request_[:cut]) is ModbusError.ILLEGAL_VALUE
    assert parse_modbus_request(request_ + b"x") is ModbusError.ILLEGAL_VALUE


@each_exchange
def test_replies_of_other_requests_do_not_answer_it(request_: bytes, reply: bytes) -> None:
    request = parsed(request_)
    assert [other for _, other in PDUS if request.answered_by(other)] == [reply]


def test_addresses_are_those_of_the_request() -> None:
    found = {pdu[0]: (parsed(pdu).reads, parsed(pdu).writes) for pdu, _ in PDUS}
    assert found[1] == found[2] == (range(5, 15), NOTHING)
    assert found[3] == found[4] == (range(5, 8), NOTHING)
    assert found[5] == found[6] == found[22] == (NOTHING, range(5, 6))
    assert found[15] == (NOTHING, range(5, 15))
    assert found[16] == (NOTHING, range(5, 8))
    assert found[23] == (range(5, 8), range(90, 92))
    assert found[24] == (range(5, 6), NOTHING)
    for function in (7, 11, 12, 17, 20, 21, 43):
        assert found[function] == (NOTHING, NOTHING)


def test_what_writes_changes_the_device() -> None:
    for pdu, _ in PDUS:
        request = parsed(pdu)
        assert request.changes == (pdu[0] not in READ_ONLY)
        assert request.changes or not request.writes


WRONG = {
    "no quantity": ("03 0000 0000", ModbusError.ILLEGAL_VALUE),
    "126 registers": ("03 0000 007E", ModbusError.ILLEGAL_VALUE),
    "2001 coils": ("01 0000 07D1", ModbusError.ILLEGAL_VALUE),
    "past the last address": ("04 FFFF 0002", ModbusError.ILLEGAL_ADDRESS),
    "a coil that is neither on nor off": ("05 0001 0100", ModbusError.ILLEGAL_VALUE),
    "a byte count that lies": ("10 0000 0001 04 00010002", ModbusError.ILLEGAL_VALUE),
    "124 registers written": ("10 0000 007C F8" + "00" * 248, ModbusError.ILLEGAL_VALUE),
    "coils that do not fit": ("0F 0000 0009 01 FF", ModbusError.ILLEGAL_VALUE),
    "a write past the last address": ("10 FFFF 0002 04 00010002", ModbusError.ILLEGAL_ADDRESS),
    "23 reads too much": ("17 0000 007E 0000 0001 02 0001", ModbusError.ILLEGAL_VALUE),
    "23 writes too much": ("17 0000 0001 FFFF 0002 04 00010001", ModbusError.ILLEGAL_ADDRESS),
    "a byte count of 23 that lies": ("17 0000 0001 0000 0002 02 0001", ModbusError.ILLEGAL_VALUE),
    "MEI type 13": ("2B 0D 01 00", ModbusError.ILLEGAL_FUNCTION),
    "a function of one maker": ("5A 00 01", ModbusError.ILLEGAL_FUNCTION),
    "an exception": ("83 02", ModbusError.ILLEGAL_FUNCTION),
}


@pytest.mark.parametrize(("pdu", "error"), WRONG.values(), ids=WRONG)
def test_a_wrong_request_has_the_exception_of_the_specification(
    pdu: str, error: ModbusError
) -> None:
    assert parse_modbus_request(bytes.fromhex(pdu)) is error


@pytest.mark.parametrize(
    "reply",
    [
        "03 FF",
        "18 0100",
        "2B 0D 00000000",
        "2B 0E 01 01 00 00 02 00 F0" + "00" * 240 + "01 F0",
        "5A",
    ],
)
def test_a_reply_that_cannot_be_has_no_length(reply: str) -> None:
    assert reply_length(bytes.fromhex(reply), 0) == 0


def test_an_exception_names_its_function() -> None:
    assert ModbusError.NO_RESPONSE.reply(3) == b"\x83\x0b"
