"""Counter: a number that only grows. Exported as NAME_total.

Tested in tests/instruments/test_instruments.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from vcproxy.instruments.instrument import Instrument, InstrumentValues


class CounterValues(InstrumentValues):
    """The counts of one engine, for one listener."""

    __slots__ = ()

    series: dict[tuple[str, ...], float]

    def add(self, amount: float = 1, /, **labels: object) -> None:
        """Add to the count for these labels. Raises ValueError for an amount below 0."""
        if not amount >= 0:
            raise ValueError(
                f"metric {self.instrument.name}: a counter cannot grow by {amount}: use a Gauge "
                "for what can shrink"
            )
        place = self.place(labels)
        self.series[place] = self.series.get(place, 0) + amount


class Counter(Instrument[CounterValues]):
    """Counts what happens. See Instrument.

    orders = Counter("orders", "Orders accepted.", labels=("kind",))
    ...
    self.orders.add(kind="new")

    The exported name ends with "_total", which may be left out here.
    """

    kind: ClassVar[str] = "counter"
    values = CounterValues

    def add(self, amount: float = 1, /, **labels: object) -> None:
        """Count in a class method, as `split` of a Splitter. See CounterValues."""
        self.running.add(amount, **labels)

    def __init__(
        self,
        name: str,
        help: str,  # noqa: A002
        *,
        labels: Sequence[str] = (),
        own: bool = False,
    ) -> None:
        super().__init__(name.removesuffix("_total"), help, labels=labels, own=own)
