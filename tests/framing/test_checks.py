"""CHECKS: the values that their specifications and catalogues give."""

from __future__ import annotations

from functools import reduce
from operator import xor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcproxy.framing.checks import CHECKS, check_sum

VALUES = {
    "crc16-modbus": b"\x37\x4b",
    "crc16-x25": b"\x6e\x90",
    "crc16-ccitt": b"\x29\xb1",
    "crc16-xmodem": b"\x31\xc3",
    "crc32": b"\xcb\xf4\x39\x26",
    "crc32-little": b"\x26\x39\xf4\xcb",
    "crc32c": b"\x83\x92\x06\xe3",
    "xor": b"\x31",
    "xor-hex": b"31",
    "sum": b"\xdd",
    "sum-hex": b"DD",
    "lrc": b"\x23",
    "fix-sum": b"221",
}
"""Of b"123456789", the text for which https://reveng.sourceforge.io/crc-catalogue lists values."""


@pytest.mark.parametrize("name", CHECKS)
def test_the_check_of_the_catalogue_text(name: str) -> None:
    if name == "lrc-hex":  # Modbus over serial line 1.02, 2.5.2.1: an ASCII frame
        assert CHECKS[name].of(b"010300000002") == b"FA"
        assert CHECKS[name].of(b"x1") == b""
    else:
        assert CHECKS[name].of(b"123456789") == VALUES[name]
    assert len(CHECKS[name].of(b"12")) == CHECKS[name].width


@given(st.binary(max_size=70) | st.binary(min_size=250, max_size=3000))
def test_xor_and_sum_are_those_of_all_bytes(data: bytes) -> None:
    assert CHECKS["xor"].of(data) == bytes([reduce(xor, data, 0)])
    assert CHECKS["sum"].of(data) == bytes([sum(data) % 256])


def test_an_unknown_check_is_an_error_with_the_names_there_are() -> None:
    assert check_sum("xor") is CHECKS["xor"]
    with pytest.raises(ValueError, match='no check "crc": use one of crc16-modbus, crc16-x25'):
        check_sum("crc")
