"""The recipes of protocols that number their messages: what is dropped leaves no gap."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import simplefix
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.cookbook.recipes import recipe
from vcproxy.testing import fragments
from vcproxy.testing.proxy import SimulatedProxy

FIX_TABLE = {"sender": "BUYSIDE", "types": ["0", "A", "F"]}


def fix_message(kind: str, number: int, sender: str = "BUYSIDE", text: str = "") -> bytes:
    """Return a FIX message with a right BodyLength and CheckSum, as simplefix encodes it."""
    message = simplefix.FixMessage()
    message.append_pair(8, "FIX.4.4")
    message.append_pair(35, kind)
    message.append_pair(49, sender)
    message.append_pair(56, "EXCHANGE")
    message.append_pair(34, number)
    message.append_pair(52, "20261130-12:00:00.000")
    if text:
        message.append_pair(58, text)
    return bytes(message.encode())


def fix_messages(data: bytes | bytearray) -> list[simplefix.FixMessage]:
    """Return the messages in a stream, as simplefix decodes them. Their sums are right."""
    parser = simplefix.FixParser()
    parser.append_buffer(bytes(data))
    found = list(iter(parser.get_message, None))
    assert not parser.get_buffer()
    assert b"".join(each.encode() for each in found) == data
    return found


@contextmanager
def fix_gate() -> Iterator[SimulatedProxy]:
    """A simulated proxy with the recipe fix_gate."""
    with recipe("fix_gate", FIX_TABLE) as proxy:
        yield proxy


LOGON, ORDER, CANCEL = (fix_message(kind, at) for at, kind in enumerate("ADF", 1))


@pytest.mark.parametrize(("first", "rest"), fragments(LOGON + CANCEL))
def test_fix_messages_of_allowed_types_are_unchanged(first: bytes, rest: bytes) -> None:
    with fix_gate() as proxy:
        client = proxy.client()
        client.send(first)
        proxy.elapse(0.1)
        client.send(rest)
        proxy.elapse(0.1)
        assert proxy.server().received == LOGON + CANCEL


def test_a_fix_message_of_another_type_becomes_a_heartbeat() -> None:
    with fix_gate() as proxy:
        client = proxy.client()
        client.send(LOGON + ORDER + CANCEL)
        server = proxy.server()
        proxy.elapse(0.1)
        found = fix_messages(server.received)
        assert [each.get(35) for each in found] == [b"A", b"0", b"F"]
        assert [each.get(34) for each in found] == [b"1", b"2", b"3"]
        assert [each.get(49) for each in found] == [b"BUYSIDE"] * 3
        assert "replaced by a heartbeat" in proxy.log[0]
        server.send(b"any reply")
        proxy.elapse(0.1)
        assert client.received == b"any reply"


def test_a_garbled_fix_message_is_dropped_without_an_answer() -> None:
    with fix_gate() as proxy:
        client = proxy.client()
        client.send(LOGON + ORDER.replace(b"EXCHANGE", b"EXCHANGF") + CANCEL)
        server = proxy.server()
        proxy.elapse(0.1)
        assert server.received == LOGON + CANCEL
        assert client.received == b""
        assert "CheckSum" in proxy.log[0]


@pytest.mark.parametrize(
    "sent",
    [
        fix_message("A", 1, sender="ANOTHER"),
        LOGON.replace(b"9=", b"9=1"),
        b"8=FIX.4.4\x019=5\x0135=0\x0110=161\x01",
        b"hello" * 10,
        LOGON[:-2],
    ],
)
def test_what_is_no_fix_message_of_the_sender_ends_the_connection(sent: bytes) -> None:
    with fix_gate() as proxy:
        client = proxy.client()
        client.send(LOGON + sent)
        client.end()
        server = proxy.server()
        proxy.elapse(0.1)
        assert server.received == LOGON
        assert server.ended


def test_the_first_of_equal_fields_counts() -> None:
    """A second SenderCompID in the text does not hide the first one."""
    with fix_gate() as proxy:
        client = proxy.client()
        client.send(LOGON + fix_message("0", 2, sender="ANOTHER", text="a\x0149=BUYSIDE"))
        proxy.elapse(0.1)
        assert proxy.server().received == LOGON


STARTDT = bytes.fromhex("680407000000")
TESTFR = bytes.fromhex("680443000000")
SUPERVISORY = bytes.fromhex("680401000200")


def apdu(sent: int, received: int, kind: int, body: str = "00000014") -> bytes:
    """Return an APDU of I format from common address 47: one object, activation."""
    control = (sent << 1).to_bytes(2, "little") + (received << 1).to_bytes(2, "little")
    asdu = bytes([kind, 1, 6, 0, 47, 0]) + bytes.fromhex(body)
    return bytes([0x68, len(control + asdu)]) + control + asdu


READ_ALL, SINGLE_COMMAND = apdu(0, 0, 100), apdu(1, 4, 45, "0c000001")


@pytest.mark.parametrize(("first", "rest"), fragments(STARTDT + READ_ALL + SUPERVISORY))
def test_what_reads_an_outstation_is_unchanged(first: bytes, rest: bytes) -> None:
    with recipe("iec104_monitor") as proxy:
        client = proxy.client()
        client.send(first)
        proxy.elapse(0.1)
        client.send(rest)
        proxy.elapse(0.1)
        assert proxy.server().received == STARTDT + READ_ALL + SUPERVISORY


def test_a_command_becomes_a_test_command_with_its_numbers() -> None:
    with recipe("iec104_monitor") as proxy:
        client = proxy.client()
        client.send(STARTDT + READ_ALL + SINGLE_COMMAND + TESTFR)
        server = proxy.server()
        proxy.elapse(0.1)
        test = apdu(1, 4, 104, "000000aa55")
        assert server.received == STARTDT + READ_ALL + test + TESTFR
        assert "a command of type 45" in proxy.log[0]
        server.send(SUPERVISORY)
        proxy.elapse(0.1)
        assert client.received == SUPERVISORY


@pytest.mark.parametrize(
    "sent",
    [
        bytes.fromhex("68040000000000"),  # I format without an ASDU
        bytes.fromhex("680a000000002d0106002f"),  # an ASDU that is cut
        bytes.fromhex("6806070000002d01"),  # U format with one
        b"\x69\x04\x07\0\0\0",
        b"\x68\x03\x07\0\0",
        b"\x68\xfe" + bytes(254),
        SINGLE_COMMAND[:-1],
    ],
)
def test_what_is_no_apdu_ends_the_connection(sent: bytes) -> None:
    with recipe("iec104_monitor") as proxy:
        client = proxy.client()
        client.send(STARTDT + sent)
        client.end()
        server = proxy.server()
        proxy.elapse(0.1)
        assert server.received == STARTDT
        assert server.ended


@settings(deadline=None)
@given(st.lists(st.sampled_from([STARTDT, READ_ALL, SINGLE_COMMAND]) | st.binary(max_size=20)))
def test_no_command_reaches_an_outstation(pieces: list[bytes]) -> None:
    with recipe("iec104_monitor") as proxy:
        client = proxy.client()
        for piece in pieces:
            client.send(piece)
        proxy.elapse(0.1)
        data = b"".join(bytes(peer.received) for peer in proxy.peers())
        while data:
            frame, data = data[: data[1] + 2], data[data[1] + 2 :]
            assert frame[2] & 1 or frame[6] in (100, 102, 104, 107)
