"""Metric: one metric of the proxy, and where its values come from.

Tested in tests/control/metrics/test_table.py.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

Kind: TypeAlias = Literal["counter", "gauge", "histogram"]


class Combined(enum.Enum):
    """How the values of several net threads and workers become one."""

    SUM = "sum"
    MOST = "most"
    """The largest."""
    LEAST = "least"
    """The smallest."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric."""

    name: str
    """Its name; that of a counter is exported with "_total" at its end."""
    kind: Kind
    help: str
    """One line about it."""
    labels: tuple[str, ...] = ()
    combined: Combined = Combined.SUM

    @property
    def exported(self) -> str:
        """The name with which its values are exported, without the endings of a histogram's."""
        return f"{self.name}_total" if self.kind == "counter" else self.name


Value: TypeAlias = Callable[[Any], float | None]
"""Returns the number for what a column has; None: there is none."""


def number(value: Any) -> float | None:
    """Return a number as it is."""
    return None if value is None else float(value)


@dataclass(frozen=True, slots=True)
class ColumnMetric:
    """A metric with a value for each row of a question."""

    metric: Metric
    column: str
    """The column that has its value."""
    labels: Mapping[str, str]
    """The column of each label."""
    value: Value = number

    def of(self, row: Mapping[str, Any]) -> tuple[list[str], float] | None:
        """Return the labels, as "name=value", and the value for a row; None: it has none."""
        value = self.value(row[self.column])
        if value is None:
            return None
        return [f"{name}={row[column]}" for name, column in self.labels.items()], value


@dataclass(frozen=True, slots=True)
class Rows:
    """Makes the metrics that rows of one question have. `labels`: the column of each label."""

    labels: Mapping[str, str]

    def counter(self, name: str, column: str, text: str) -> ColumnMetric:
        """Return a counter."""
        metric = Metric(name, "counter", text, tuple(self.labels))
        return ColumnMetric(metric, column, self.labels)

    def gauge(
        self,
        name: str,
        column: str,
        text: str,
        *,
        combined: Combined = Combined.SUM,
        value: Value = number,
    ) -> ColumnMetric:
        """Return a gauge."""
        metric = Metric(name, "gauge", text, tuple(self.labels), combined)
        return ColumnMetric(metric, column, self.labels, value)
