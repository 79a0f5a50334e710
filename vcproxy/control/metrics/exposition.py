"""exposition: metrics as text, in the formats that Prometheus reads.

It is written by prometheus_client, a few lines at a time: the thread that writes holds the
interpreter, and the net threads would wait for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate, islice
from typing import TYPE_CHECKING, Any, Final

from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric as Exposed
from prometheus_client.samples import Sample
from prometheus_client.utils import floatToGoString

from vcproxy.control.metrics.totals import labels_of

if TYPE_CHECKING:
    from vcproxy.control.metrics.totals import Family

LINES: Final = 10
"""Lines that are written at once: a tenth of a millisecond. WebConnection writes 16 such pieces in
a turn."""

INFINITY: Final = "+Inf"


class _Chunk:
    """Some samples of one metric, as the encoder takes them."""

    def __init__(self, exposed: Exposed) -> None:
        self._exposed = exposed

    def collect(self) -> Iterable[Exposed]:
        return (self._exposed,)


def exposition(families: Sequence[Family], accept: str) -> tuple[str, Iterator[bytes]]:
    """Return the content type that suits a client's `Accept`, and the text in pieces."""
    encode, content_type = choose_encoder(accept)
    return content_type, _text(families, encode, content_type.startswith("application/openmetrics"))


def _text(
    families: Sequence[Family], encode: Callable[[Any], bytes], openmetrics: bool
) -> Iterator[bytes]:
    for family in families:
        metric = family.metric
        samples = iter(_samples(family))
        first = True
        while True:
            exposed = Exposed(metric.name, metric.help, metric.kind)
            exposed.samples = list(islice(samples, LINES))
            if not exposed.samples and not first:
                break
            text = encode(_Chunk(exposed))
            yield _lines(text, head=first)
            first = False
    if openmetrics:
        yield b"# EOF\n"


def _lines(text: bytes, *, head: bool) -> bytes:
    """Return the lines of a chunk; `head`: with the comments about the metric. The mark of the end
    is left out."""
    kept = (b"# HELP", b"# TYPE") if head else ()
    return b"".join(
        line for line in text.splitlines(True) if not line.startswith(b"#") or line.startswith(kept)
    )


def _samples(family: Family) -> Iterator[Sample]:
    metric = family.metric
    for texts, value in sorted(family.values.items()):
        labels = dict(labels_of(texts))
        if metric.kind != "histogram":
            yield Sample(metric.exported, labels, value)
            continue
        *counts, total = value
        limits = (*map(floatToGoString, family.buckets), INFINITY)
        count = 0
        for limit, count in zip(limits, accumulate(counts), strict=True):
            yield Sample(f"{metric.name}_bucket", labels | {"le": limit}, count)
        yield Sample(f"{metric.name}_count", labels, count)
        yield Sample(f"{metric.name}_sum", labels, total)
