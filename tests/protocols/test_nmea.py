"""Sentences of NMEA 0183: what they say of themselves, and their checksums, beside pynmea2."""

from __future__ import annotations

import pynmea2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcproxy.protocols.nmea import NmeaSentence, with_nmea_checksum


@pytest.mark.parametrize(
    ("message", "address", "kind", "part"),
    [
        (b"$GPGGA,123519,4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,*47", "GPGGA", "GGA", 0),
        (b"$GPGSV,3,1,11,03,03,111,00*74", "GPGSV", "GSV", 1),
        (b"$GPGSV,3,3,11,22,42,067,42*4B", "GPGSV", "GSV", 3),
        (b"!AIVDM,2,2,7,A,88888888880,2*22", "AIVDM", "VDM", 2),
        (b"$GPTXT,01,01,02,u-blox ag*00", "GPTXT", "TXT", 1),
        (b"$PMTK010,001*2E", "PMTK010", "PMTK", 0),
        (b"$SDDPT,3,2,*00", "SDDPT", "DPT", 0),
        (b"$GPGLL*00", "GPGLL", "GLL", 0),
        (b"$GPGSV", "GPGSV", "GSV", 1),
        (b"$GPGSV,3,x*00", "GPGSV", "GSV", 1),
        (b"$GPGSV,3,99999999999*00", "GPGSV", "GSV", 1),
        (b"$", "", "", 0),
    ],
)
@pytest.mark.parametrize("tag_block", [b"", b"\\s:mast,c:1700000000*1A\\"])
def test_a_sentence_is_taken_apart(
    tag_block: bytes, message: bytes, address: str, kind: str, part: int
) -> None:
    assert NmeaSentence.parse(tag_block + message) == (message, address, kind, part)


@given(st.binary(max_size=90))
def test_any_bytes_are_taken_apart(message: bytes) -> None:
    NmeaSentence.parse(message)


@given(st.text("ABC,.0123456789 ", min_size=1))
def test_the_checksum_is_that_of_pynmea2(content: str) -> None:
    message = with_nmea_checksum(b"$" + content.encode())
    assert message == b"$%b*%02X" % (content.encode(), pynmea2.NMEASentence.checksum(content))


@pytest.mark.parametrize("message", [b"$GPGLL,1*00", b"\\s:a*00\\$GPGLL,1*00"])
def test_a_checksum_that_is_there_is_left(message: bytes) -> None:
    assert with_nmea_checksum(message) == message


def test_the_checksum_of_a_tag_block_is_none_of_the_sentence() -> None:
    assert with_nmea_checksum(b"\\s:a*00\\$GPGLL,1") == b"\\s:a*00\\$GPGLL,1*4D"
