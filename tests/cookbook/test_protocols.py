"""The recipes of protocols that number their messages: what is dropped leaves no gap."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.cookbook.recipes import recipe
from vcproxy.testing import fragments

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
