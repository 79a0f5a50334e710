"""The table of questions: every row has the columns that are documented."""

from __future__ import annotations

from vcproxy.control.questions.question import LIMIT
from vcproxy.control.questions.table import QUESTIONS

UNITS = {"", "s", "bytes", "bytes/s", "unix", "days"}


def test_columns_are_named_once_and_described() -> None:
    for question in QUESTIONS.values():
        names = question.column_names
        own = [each.name for each in question.arguments]
        assert len({*names, *own, LIMIT}) == len(names) + len(own) + 1, question.name
        assert set(question.key) <= set(names), question.name
        columns = [each.doc for each in question.columns]
        for doc in (question.doc, *columns, *(each.doc for each in question.arguments)):
            assert doc.endswith("."), doc
            assert "\n" not in doc, doc
        assert {each.unit for each in question.columns} <= UNITS
