"""The question `metrics`: what a net thread has counted, each value with its labels.

Most are the columns of other questions: METRICS says which. A net thread, and each worker, has
values of its own: `Totals` adds them up.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from vcproxy.control.metrics.table import COLUMNS, EVENTS, METRICS
from vcproxy.control.questions.listeners import LISTENERS
from vcproxy.control.questions.process import PROCESS
from vcproxy.control.questions.question import Column, Of, Question

if TYPE_CHECKING:
    from vcproxy.control.metrics.metric import ColumnMetric
    from vcproxy.control.questions.answer import Row
    from vcproxy.control.questions.question import Asked
    from vcproxy.instruments.instrument import Instrument

SOURCES: Final = (LISTENERS, PROCESS)
"""The questions whose columns are metrics."""


def _rows(asked: Asked) -> Iterator[Row | None]:
    for question in SOURCES:
        if question.of is Of.THREAD or asked.first:
            metrics = COLUMNS[question.name]
            for row in question.rows(asked):
                if row is None:
                    yield None
                else:
                    yield from _of(metrics, row | {"worker": asked.running.worker})
    yield from _of(COLUMNS["net thread"], _net_thread(asked))
    for listener, service in asked.running.listeners.services_of(asked.engine):
        for event, count in list(service.counts.items()):
            yield _row(EVENTS.name, [f"listener={listener}", f"event={event}"], count)
    for values in list(asked.engine.instruments.values()):
        for labels, sample in values.samples():
            texts = [f"{name}={value}" for name, value in labels.items()]
            if values.listener:
                texts.insert(0, f"listener={values.listener}")
            yield _row(values.instrument.name, texts, sample, values.instrument)


def _net_thread(asked: Asked) -> Row:
    engine = asked.engine
    return {
        "turns": engine.turns,
        "threads": 1,
        "connections": len(engine.vcs),
        "timers": len(engine.timers),
        "calls_made": engine.pending_calls.last,
        "calls": len(engine.pending_calls),
        "memory_used": engine.memory.used,
        "memory_limit": engine.memory.limit,
    }


def _of(metrics: tuple[ColumnMetric, ...], row: Row) -> Iterator[Row]:
    for each in metrics:
        found = each.of(row)
        if found is not None:
            yield _row(each.metric.name, *found)


def _row(
    name: str, labels: list[str], value: Any, instrument: Instrument[Any] | None = None
) -> Row:
    row: Row = {
        "name": name,
        "labels": labels,
        "value": value,
        "kind": "",
        "help": "",
        "buckets": [],
    }
    if instrument is not None:
        row["buckets"] = getattr(instrument, "buckets", [])
        if name not in METRICS:
            row["kind"], row["help"] = instrument.kind, instrument.help
    return row


METRICS_QUESTION: Final = Question(
    "metrics",
    "What every net thread has counted; /metrics has the sums.",
    (
        Column("name", "The name of the metric, as in the reference."),
        Column("labels", 'Its labels, such as "listener=shop".'),
        Column("value", "A number; of a histogram, those in each bucket, and the sum."),
        Column("kind", 'Of a metric of a plugin: "counter", "gauge" or "histogram".'),
        Column("help", "Of a metric of a plugin: what it counts."),
        Column("buckets", "The upper limits of the buckets of a histogram, without the last."),
    ),
    _rows,
)
"""The question."""
