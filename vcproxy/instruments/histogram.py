"""Histogram: observed values, counted in buckets.

Tested in tests/instruments/test_instruments.py.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from math import isfinite
from typing import TYPE_CHECKING, ClassVar, Final

from vcproxy.instruments.instrument import Instrument, InstrumentValues, Sample

if TYPE_CHECKING:
    from vcproxy.engine.event_dispatcher import EventDispatcher

DEFAULT_BUCKETS: Final = (
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
)  # fmt: skip
"""Seconds: the buckets of Prometheus' client libraries, and below them three more, because a proxy
adds less than their smallest; above them one for the usual timeout of a response."""


class Buckets:
    """The observations of one series."""

    __slots__ = ("counts", "limits", "total")

    def __init__(self, limits: tuple[float, ...]) -> None:
        self.limits = limits
        """The upper limits of the buckets, without the last one, which has none."""
        self.counts = [0] * (len(limits) + 1)
        """The observations in each bucket."""
        self.total = 0.0
        """The sum of the observed values."""

    def observe(self, value: float) -> None:
        """Count a value, in the first bucket whose limit is not below it."""
        self.counts[bisect_left(self.limits, value)] += 1
        self.total += value


class HistogramValues(InstrumentValues):
    """The observations of one engine, for one listener."""

    __slots__ = ("limits",)

    series: dict[tuple[str, ...], Buckets]

    def __init__(self, instrument: Histogram, engine: EventDispatcher, listener: str) -> None:
        super().__init__(instrument, engine, listener)
        self.limits = instrument.buckets
        """See Buckets."""

    def buckets(self, **labels: object) -> Buckets:
        """Return the observations for these labels."""
        place = self.place(labels)
        found = self.series.get(place)
        if found is None:
            found = self.series[place] = Buckets(self.limits)
        return found

    def observe(self, value: float, /, **labels: object) -> None:
        """Count a value, in the first bucket whose limit is not below it."""
        self.buckets(**labels).observe(value)

    def sample(self, value: Buckets) -> Sample:
        """See InstrumentValues."""
        return [*value.counts, value.total]


class Histogram(Instrument[HistogramValues]):
    """Counts values by their size: times in seconds, sizes in bytes. See Instrument.

    checked = Histogram("order_check_seconds", "Time to check an order.", buckets=(0.01, 0.1, 1))
    ...
    self.checked.observe(0.02)

    Args:
        buckets: the upper limits of the buckets, in ascending order; a bucket without a limit
            follows. Left out: limits for seconds, from half a millisecond to half a minute.
    """

    kind: ClassVar[str] = "histogram"
    values = HistogramValues

    def observe(self, value: float, /, **labels: object) -> None:
        """Count a value in a class method, as `split` of a Splitter. See HistogramValues."""
        self.running.observe(value, **labels)

    def __init__(
        self,
        name: str,
        help: str,  # noqa: A002
        *,
        buckets: Sequence[float] = DEFAULT_BUCKETS,
        labels: Sequence[str] = (),
        own: bool = False,
    ) -> None:
        super().__init__(name, help, labels=labels, own=own)
        self.buckets = tuple(map(float, buckets))
        ascending = sorted(set(self.buckets)) == list(self.buckets)
        if not self.buckets or not ascending or not all(map(isfinite, self.buckets)):
            raise ValueError(
                f"metric {name}: buckets are one or more finite numbers in ascending order, not "
                f"{tuple(buckets)}"
            )
        self.shape = (self.shape, self.buckets)
