"""nmea_rates: which sentences of NMEA 0183 may pass, where only one is wanted in some time.

Tested in tests/protocols/test_nmea_rates.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vcproxy.protocols.nmea import NmeaSentence

MOST = 1000
"""Addresses of which the time is kept: there are some dozens; any bytes may be one."""


class NmeaRates:
    """Lets one sentence of each address pass in the time of its name; a group as a whole.

    Args:
        rates: seconds, by the kind of a sentence or its whole address; of two the longer counts.
    """

    def __init__(self, rates: Mapping[str, float]) -> None:
        self._rates = rates
        self._due: dict[str, float] = {}  # when the next sentence of an address may pass
        self._passing: set[tuple[str, str]] = set()  # sources and addresses whose group passes

    def passes(self, sentence: NmeaSentence, source: str, now: float) -> bool:
        """Whether a sentence of a source may pass; of a group, whether its first part has."""
        rates, due, group = self._rates, self._due, (source, sentence.address)
        rate_s = max(rates.get(sentence.address, 0.0), rates.get(sentence.kind, 0.0))
        if not rate_s or sentence.part > 1:
            return not rate_s or group in self._passing
        self._passing.discard(group)
        if now < due.get(sentence.address, 0.0):
            return False
        if len(due) >= MOST or len(self._passing) >= MOST:
            due.clear()
            self._passing.clear()
        due[sentence.address] = now + rate_s
        self._passing.add(group)
        return True
