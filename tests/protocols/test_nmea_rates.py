"""Rates of NMEA sentences: one in a time, whole groups, each talker for itself."""

from __future__ import annotations

from vcproxy.protocols.nmea import NmeaSentence
from vcproxy.protocols.nmea_rates import MOST, NmeaRates


def passed(rates: NmeaRates, text: bytes, now: float, source: str = "mast") -> bool:
    return rates.passes(NmeaSentence.parse(text), source, now)


def test_one_sentence_of_each_talker_passes_in_its_time() -> None:
    rates = NmeaRates({"RMC": 10.0})
    assert [passed(rates, b"$GPRMC,1*00", at) for at in (0.0, 9.9, 10.0, 10.1)] == [
        True,
        False,
        True,
        False,
    ]
    assert passed(rates, b"$GNRMC,1*00", 1.0)
    assert all(passed(rates, b"$GPGLL,1*00", 0.0) for _ in range(3))


def test_of_two_rates_the_longer_counts() -> None:
    rates = NmeaRates({"GSV": 1.0, "GPGSV": 60.0})
    assert passed(rates, b"$GPGSV,1,1,01*00", 0.0)
    assert not passed(rates, b"$GPGSV,1,1,01*00", 59.0)


def test_the_parts_of_a_group_pass_with_the_first_of_their_source() -> None:
    rates = NmeaRates({"GSV": 10.0})
    first, second = b"$GPGSV,2,1,08*00", b"$GPGSV,2,2,08*00"
    assert passed(rates, first, 0.0)
    assert not passed(rates, first, 0.1, "bow")
    assert passed(rates, second, 0.2)
    assert not passed(rates, second, 0.3, "bow")


def test_what_is_kept_is_bounded() -> None:
    rates = NmeaRates({"RMC": 10.0})
    for number in range(3 * MOST):
        passed(rates, b"$%dRMC,1*00" % number, 0.0)
    assert len(rates._due) <= MOST
    assert len(rates._passing) <= MOST
