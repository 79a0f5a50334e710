"""Gauge: a number that grows and shrinks.

Tested in tests/instruments/test_instruments.py.
"""

from __future__ import annotations

from typing import ClassVar

from vcproxy.instruments.instrument import Instrument, InstrumentValues


class GaugeValues(InstrumentValues):
    """The values of one engine, for one listener."""

    __slots__ = ()

    series: dict[tuple[str, ...], float]

    def add(self, amount: float = 1, /, **labels: object) -> None:
        """Add to the value for these labels; a negative amount subtracts."""
        place = self.place(labels)
        self.series[place] = self.series.get(place, 0) + amount

    def set(self, value: float, /, **labels: object) -> None:
        """Set the value for these labels."""
        self.series[self.place(labels)] = value


class Gauge(Instrument[GaugeValues]):
    """Counts what is present, as the orders in work. See Instrument.

    waiting = Gauge("orders_waiting", "Orders that wait for a check.")
    ...
    self.waiting.add(1)
    self.waiting.add(-1)

    What is exported is the sum over all net threads and workers. So `set` is for a Program, which
    exists once; `add` is right everywhere.
    """

    kind: ClassVar[str] = "gauge"
    values = GaugeValues

    def add(self, amount: float = 1, /, **labels: object) -> None:
        """Add in a class method, as `split` of a Splitter. See GaugeValues."""
        self.running.add(amount, **labels)
