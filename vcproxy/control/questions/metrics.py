"""The question `metrics`: what a net thread has counted, each value with its labels.

Most are the columns of other questions: METRICS says which. A net thread, and each worker, has
values of its own: `Totals` adds them up.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from vcproxy.admission.refusal import Refusal
from vcproxy.control.metrics.table import COLUMNS, EVENTS, METRICS
from vcproxy.control.questions.listeners import LISTENERS
from vcproxy.control.questions.machines import MACHINES
from vcproxy.control.questions.memory import MEMORY
from vcproxy.control.questions.mirrors import MIRRORS
from vcproxy.control.questions.process import PROCESS
from vcproxy.control.questions.question import Column, Of, Question
from vcproxy.control.questions.queues import QUEUES
from vcproxy.control.questions.servers import SERVERS
from vcproxy.control.questions.splits import SPLITS
from vcproxy.control.questions.threads import THREADS
from vcproxy.control.questions.tls import TLS
from vcproxy.control.questions.upstreams import UPSTREAMS
from vcproxy.relay.relay import Relay

if TYPE_CHECKING:
    from vcproxy.control.metrics.metric import ColumnMetric
    from vcproxy.control.questions.answer import Row
    from vcproxy.control.questions.question import Asked
    from vcproxy.instruments.instrument import Instrument

SOURCES: Final = (
    LISTENERS, UPSTREAMS, SERVERS, QUEUES, MIRRORS, SPLITS, MACHINES, TLS, MEMORY, THREADS, PROCESS,
)  # fmt: skip
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
    yield from _refusals(asked)
    if asked.first:
        yield from _relays(asked)
    for listener, service in asked.running.listeners.services_of(asked.engine):
        for event, count in list(service.counts.items()):
            yield metric_row(EVENTS.name, [f"listener={listener}", f"event={event}"], count)
    for values in list(asked.engine.instruments.values()):
        for labels, sample in values.samples():
            texts = [f"{name}={value}" for name, value in labels.items()]
            if values.listener:
                texts.insert(0, f"listener={values.listener}")
            yield metric_row(values.instrument.name, texts, sample, values.instrument)


def _refusals(asked: Asked) -> Iterator[Row]:
    for name, listener in asked.running.listeners.named.items():
        counts = listener.counts.get(asked.engine)
        refusals = {} if counts is None else counts.refusals
        for reason in Refusal:
            count = refusals.get(reason, 0)
            row = {"listener": name, "reason": reason.value, "count": count}
            yield from _of(COLUMNS["refusals"], row)


def _relays(asked: Asked) -> Iterator[Row | None]:
    """Yield the metrics of relays. Only targets are named: subscribers come and go, and each would
    be a time series for ever."""
    for listener, program in list(asked.running.listeners.programs.running.items()):
        if not isinstance(program, Relay):
            continue
        targets = {str(each.to) for each in program.options.targets}
        states = dict.fromkeys(("up", "lags", "down"), 0)
        farthest = 0
        for sink in program.sinks():
            yield None
            states["down" if not sink.up else "lags" if sink.lags else "up"] += 1
            farthest = max(farthest, sink.lag)
            if sink.name in targets:
                target = {
                    "listener": listener,
                    "target": sink.name,
                    "up": sink.up,
                    "lag": sink.lag,
                    "sent": sink.sent,
                    "dropped_messages": sink.dropped.messages,
                    "dropped_bytes": sink.dropped.bytes,
                    "reconnects": sink.reconnects,
                }
                yield from _of(COLUMNS["relay targets"], target)
        for state, count in states.items():
            row = {"listener": listener, "state": state, "count": count}
            yield from _of(COLUMNS["relay states"], row)
        yield from _of(COLUMNS["relays"], {"listener": listener, "lag": farthest})


def _of(metrics: tuple[ColumnMetric, ...], row: Row) -> Iterator[Row]:
    for each in metrics:
        found = each.of(row)
        if found is not None:
            yield metric_row(each.metric.name, *found)


def metric_row(
    name: str,
    labels: Sequence[str],
    value: float | Sequence[float],
    instrument: Instrument[Any] | None = None,
) -> Row:
    """Return a row of the question. `instrument`: where the metric is declared, if not in the
    columns of a question."""
    row: Row = {
        "name": name,
        "labels": list(labels),
        "value": value,
        "kind": "",
        "help": "",
        "buckets": [],
    }
    if instrument is not None:
        row["buckets"] = list(getattr(instrument, "buckets", ()))
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
