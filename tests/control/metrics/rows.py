"""Rows of the question `metrics`, as net threads answer them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vcproxy.control.metrics.table import INFO
from vcproxy.control.metrics.totals import Family, Totals
from vcproxy.control.questions.answer import Answer, Row


def row(
    name: str,
    value: Any,
    *labels: str,
    worker: int = 0,
    thread: str = "net-0",
    kind: str = "",
    help: str = "",  # noqa: A002
    buckets: Sequence[float] = (),
) -> Row:
    """Return a row; with a kind, of a metric of a plugin."""
    return {
        "worker": worker,
        "thread": thread,
        "name": name,
        "labels": list(labels),
        "value": value,
        "kind": kind,
        "help": help,
        "buckets": list(buckets),
    }


def process(pid: int, worker: int = 0) -> Row:
    """Return the row that identifies a process."""
    return row(INFO.name, 1.0, f"worker={worker}", f"pid={pid}", "version=1", worker=worker)


def added(totals: Totals, *rows: Row, missing: Sequence[str] = ()) -> list[Family]:
    """Add up an answer; return the metrics."""
    families: list[Family] = []
    for _ in totals.add(Answer(list(rows), list(missing)), families):
        pass
    return families


def values(families: list[Family], name: str) -> dict[tuple[str, ...], Any]:
    """Return the values of a metric, by labels."""
    return next((each.values for each in families if each.metric.name == name), {})
