"""The page docs/reference/metrics.md: every metric of the proxy, from the table."""

from __future__ import annotations

from vcproxy.control.metrics.metric import Combined
from vcproxy.control.metrics.table import METRICS

HEAD = """\
# Metrics

<!-- Written by `make docs` from vcproxy/control/metrics/table.py. -->

What `/metrics` of `[metrics] bind` contains, beside the [metrics of
plugins](../how-to/metrics.md#your-own-in-two-lines). Each value is the sum over all net threads and
workers, except where "most" or "least" is written: then it is the largest or the smallest of them.
What a worker has counted stays after it was replaced; a reload keeps all counts but those of an
upstream that it changes.

| name | type | labels | what it is |
|---|---|---|---|
"""


def page() -> str:
    """Return the page."""
    rows = []
    for metric in METRICS.values():
        kind: str = metric.kind
        if metric.combined is not Combined.SUM:
            kind = f"{kind}, {metric.combined.value}"
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        about = metric.help.replace("|", "\\\\|")
        rows.append(f"| `{metric.exported}` | {kind} | {labels} | {about} |\n")
    return HEAD + "".join(rows)
