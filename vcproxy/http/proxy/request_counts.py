"""RequestCounts: the responses of a listener by class, and the times of its requests.

They are metrics of the proxy: see Instrument. Tested in tests/http/proxy/test_request_counts.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from vcproxy.instruments.histogram import Histogram
from vcproxy.instruments.instrument import Instrument, InstrumentValues, Sample

if TYPE_CHECKING:
    from vcproxy.engine.engine import Engine
    from vcproxy.instruments.histogram import Buckets

CLASSES: Final = ("none", "1xx", "2xx", "3xx", "4xx", "5xx")
"""Labels of responses, by the first digit of the status."""

SUCCESS: Final = CLASSES[2]


class ResponseValues(InstrumentValues):
    """The responses of one engine, for one listener. Those of the most frequent class, SUCCESS, are
    all requests that were timed without those of the other classes: so the direct path counts
    once."""

    __slots__ = ("durations", "untimed")

    durations: Buckets
    series: dict[tuple[str, ...], int]
    untimed: int
    """Responses to what was no valid request."""

    def samples(self) -> Iterator[tuple[dict[str, str], Sample]]:
        """See InstrumentValues."""
        others = self.series
        succeeded = sum(self.durations.counts) - (sum(others.values()) - self.untimed)
        for name in CLASSES:
            yield {"class": name}, succeeded if name is SUCCESS else others.get((name,), 0)

    def count(self, status: int) -> None:
        """Count a response whose class is not SUCCESS."""
        place = (class_of(status),)
        self.series[place] = self.series.get(place, 0) + 1


class Responses(Instrument[ResponseValues]):
    """The metric of responses: a counter."""

    kind = "counter"
    values = ResponseValues


RESPONSES: Final = Responses(
    "vcproxy_http_responses",
    'Responses sent to clients, by class; "none": the client has left before one was sent.',
    labels=("class",),
    own=True,
)

DURATIONS: Final = Histogram(
    "vcproxy_http_request_duration_seconds",
    "Time from the end of a request's head until its response was handed over for sending.",
    own=True,
)


class RequestCounts:
    """What is counted for one listener, on one engine. The direct path does it in place."""

    __slots__ = ("durations", "responses")

    def __init__(self, engine: Engine, listener: str) -> None:
        self.durations = DURATIONS.of(engine, listener).buckets()
        """The times of all requests that were valid."""
        self.responses = responses = RESPONSES.of(engine, listener)
        if not hasattr(responses, "durations"):
            responses.durations = self.durations
            responses.untimed = 0

    def answered(self, status: int, seconds: float) -> None:
        """Count a request and its response. Status 0: it has got none."""
        self.durations.observe(seconds)
        if not 200 <= status < 300:
            self.responses.count(status)

    def refused(self, status: int) -> None:
        """Count a response to what was no valid request; it is not a success."""
        self.responses.untimed += 1
        self.responses.count(status)


def class_of(status: int) -> str:
    """Return the class of a status. An invalid one, of 600 or more, is 5xx to a client (RFC 9110,
    section 15)."""
    return CLASSES[min(status // 100, 5)]
