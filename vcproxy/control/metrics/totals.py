"""Totals: adds up what all net threads and workers have counted.

A counter never falls, because Prometheus would take that for a restart, and its rate would leap:
what a net thread counted last stays, while it does not answer, and after its worker has been
replaced.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from vcproxy.control.metrics.metric import Combined, Metric
from vcproxy.control.metrics.table import INFO, METRICS, MISSING

if TYPE_CHECKING:
    from vcproxy.control.questions.answer import Answer, Row

Series: TypeAlias = tuple[str, tuple[str, ...]]
"""The name of a metric, and its labels, each as "name=value"."""


@dataclass(slots=True)
class Family:
    """One metric, with all its values."""

    metric: Metric
    buckets: tuple[float, ...]
    """The upper limits of the buckets of a histogram, without the last."""
    values: dict[tuple[str, ...], Any] = field(default_factory=dict)
    """A number, or the Sample of a histogram, by the labels."""


@dataclass(frozen=True, slots=True)
class _Shape:
    """What a metric is, apart from its values."""

    metric: Metric
    buckets: tuple[float, ...]


class Totals:
    """The sums of one proxy, from one scrape to the next."""

    def __init__(self) -> None:
        self.conflicts: dict[str, None] = {}
        """The names of plugins' metrics that are declared in several ways. The latest is used."""
        self._shapes: dict[str, _Shape] = {}
        self._pids: dict[int, str] = {}
        self._last: dict[tuple[int, str], dict[Series, Any]] = {}
        """What only grows, as each net thread of each worker counted it last."""
        self._ended: dict[Series, Any] = {}
        """The same of all processes that were replaced."""

    def add(self, answer: Answer, into: list[Family]) -> Iterator[None]:
        """Add up an answer to the question `metrics`. At its end, `into` has the metrics, in the
        order of METRICS, then of their names. It yields after each step, because there may be
        many."""
        yield from self._learn(answer.rows)
        families: dict[str, Family] = {}
        counted: dict[tuple[int, str], dict[Series, Any]] = {}
        for row in answer.rows:
            yield None
            name, labels, worker = row["name"], tuple(row["labels"]), row["worker"]
            shape = self._shapes[name]
            if _shape(row) != shape:
                continue
            if name == INFO.name:
                self._began(worker, next(each for each in labels if each.startswith("pid=")))
            if shape.metric.kind == "gauge":
                self._count(families, name, labels, row["value"])
            else:
                counted.setdefault((worker, row["thread"]), {})[name, labels] = row["value"]
        for part, series in counted.items():
            if answer.missing:
                self._last.setdefault(part, {}).update(series)
            else:
                self._last[part] = series
        for known in (*self._last.values(), self._ended):
            for (name, labels), value in known.items():
                yield None
                self._count(families, name, labels, value)
        families[MISSING.name] = Family(MISSING, (), {(): len(answer.missing)})
        order = {name: number for number, name in enumerate(METRICS)}
        names = sorted(families, key=lambda name: (order.get(name, len(order)), name))
        into += [families[name] for name in names]

    def _learn(self, rows: list[Row]) -> Iterator[None]:
        """Find out what each metric is. A plugin may declare one otherwise than before; in the rows
        of a net thread the latest declaration comes last."""
        shapes: dict[str, _Shape] = {}
        for row in rows:
            yield None
            shape = _shape(row)
            if shapes.setdefault(row["name"], shape) != shape:
                self.conflicts[row["name"]] = None
                shapes[row["name"]] = shape
        for name, shape in shapes.items():
            if self._shapes.setdefault(name, shape) != shape:
                self._shapes[name] = shape
                for known in (*self._last.values(), self._ended):
                    for series in [series for series in known if series[0] == name]:
                        del known[series]

    def _count(
        self, families: dict[str, Family], name: str, labels: tuple[str, ...], value: Any
    ) -> None:
        family = families.get(name)
        if family is None:
            shape = self._shapes[name]
            family = families[name] = Family(shape.metric, shape.buckets)
        before = family.values.get(labels)
        family.values[labels] = _combined(family.metric.combined, before, value)

    def _began(self, worker: int, pid: str) -> None:
        """If the process of a worker is another one, keep what the earlier one has counted."""
        if self._pids.setdefault(worker, pid) == pid:
            return
        self._pids[worker] = pid
        for part in [part for part in self._last if part[0] == worker]:
            for series, value in self._last.pop(part).items():
                self._ended[series] = _combined(Combined.SUM, self._ended.get(series), value)


def _shape(row: Row) -> _Shape:
    name = row["name"]
    metric = METRICS.get(name) or Metric(name, row["kind"], row["help"])
    return _Shape(metric, tuple(row["buckets"]))


def _combined(how: Combined, one: Any, other: Any) -> Any:
    if one is None:
        return other
    if isinstance(other, list):
        return [first + second for first, second in zip(one, other, strict=True)]
    if how is Combined.SUM:
        return one + other
    return max(one, other) if how is Combined.MOST else min(one, other)


def labels_of(texts: tuple[str, ...]) -> Mapping[str, str]:
    """Return labels by name."""
    return {name: value for name, _, value in (each.partition("=") for each in texts)}
