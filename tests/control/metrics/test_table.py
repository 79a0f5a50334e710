"""The table of metrics: each is a column that exists, and has a name as Prometheus wants it."""

from __future__ import annotations

import re

from vcproxy.control.metrics.table import COLUMNS, METRICS
from vcproxy.control.questions.metrics import SOURCES

NO_QUESTIONS = {"relays", "relay states", "relay targets", "refusals"}


def test_each_is_a_column_of_its_question() -> None:
    questions = {question.name: question for question in SOURCES}
    assert set(questions) == COLUMNS.keys() - NO_QUESTIONS
    for name in questions:
        known = questions[name].column_names
        for each in COLUMNS[name]:
            assert {each.column, *each.labels.values()} <= {*known, "worker"}, each.metric.name


def test_names_are_those_that_prometheus_recommends() -> None:
    """https://prometheus.io/docs/practices/naming: base units, and none of its endings."""
    assert len({each.exported for each in METRICS.values()}) == len(METRICS)
    for metric in METRICS.values():
        assert re.fullmatch(r"vcproxy(_[a-z0-9]+)+", metric.name), metric.name
        assert not metric.name.endswith(("_total", "_count", "_sum", "_bucket", "_created"))
        if metric.name.endswith(("_ms", "_milliseconds", "_kb", "_percent", "_days")):
            raise AssertionError(f"{metric.name}: seconds, bytes, ratios")


def test_each_has_one_line_of_help() -> None:
    for metric in METRICS.values():
        assert re.fullmatch(r"[A-Z0-9][^\n]*[.]", metric.help), metric.help
