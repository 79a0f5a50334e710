"""Rows as tables for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from vcproxy.app.commands.text_table import (
    TextTable,
    details,
    shown_value,
    sorted_rows,
    useful_columns,
)

ROWS: list[Mapping[str, object]] = [
    {"worker": 0, "id": "c1", "age": 0.0041, "bytes_in": 10, "tls": False, "state": "", "tags": []},
    {"worker": 0, "id": "c10", "age": 7500.0, "bytes_in": 2048, "tls": True, "state": None},
]
UNITS = {"age": "s", "bytes_in": "bytes"}


def test_a_table_has_its_numbers_on_the_right() -> None:
    lines, left_out = TextTable(["id", "age", "bytes_in", "tls"], ROWS, UNITS).lines()
    assert lines == [
        "id     age  bytes_in  tls",
        "c1   4.1ms       10B  no",
        "c10  2h05m    2.0KiB  yes",
    ]
    assert not left_out


def test_columns_that_do_not_fit_are_left_out_and_named() -> None:
    table = TextTable(["id", "age", "bytes_in", "tls"], ROWS, UNITS)
    assert table.lines(20)[0][0] == "id     age  bytes_in"
    assert table.lines(20)[1] == ["tls"]
    assert table.lines(1)[0] == ["id", "c1", "c10"]  # one column is always shown
    assert table.lines(1000) == table.lines()


def test_a_long_value_is_cut_only_where_the_width_is_limited() -> None:
    table = TextTable(["id"], [{"id": "x" * 70}], {})
    assert table.lines()[0][1] == "x" * 70
    assert table.lines(200)[0][1] == "x" * 57 + "..."


def test_a_table_without_rows_is_its_head() -> None:
    assert TextTable(["id", "age"], [], UNITS).lines() == (["id  age"], [])


def test_one_row_as_lines() -> None:
    row = {"id": "c1", "reason": "one\ntwo", "addresses": ["a", "b"], "none": None}
    assert details(["id", "reason", "addresses", "none"], row, {}) == [
        "id         c1",
        "reason     one",
        "           two",
        "addresses  a",
        "           b",
        "none       -",
    ]


def test_only_columns_that_tell_something_are_shown() -> None:
    columns = ["worker", "id", "bytes_in", "tls", "state", "tags", "missing"]
    assert useful_columns(columns, ROWS) == ["id", "bytes_in", "tls"]
    assert useful_columns(columns, [{"worker": 1, "bytes_in": 0}, {"worker": 2}]) == [
        "worker",
        "bytes_in",  # a zero is a value
    ]
    assert useful_columns(columns, []) == []


@pytest.mark.parametrize(
    ("column", "reverse", "order"),
    [
        ("n", False, [3, 1, 2, 0]),
        ("n", True, [2, 1, 3, 0]),
        ("name", False, [2, 0, 1, 3]),
        ("name", True, [1, 0, 2, 3]),
    ],
)
def test_sorting(column: str, reverse: bool, order: Sequence[int]) -> None:
    rows: list[Mapping[str, object]] = [
        {"n": None, "name": "b"},
        {"n": 5, "name": "c"},
        {"n": 1, "name": "a"},
        {"n": 7, "name": ""},
    ]
    assert [rows.index(each) for each in sorted_rows(rows, column, reverse=reverse)] == order


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (None, "s", "-"),
        ("", "", "-"),
        ([], "", "-"),
        (0, "", "0"),
        (True, "", "yes"),
        (False, "", "no"),
        (0.0005, "s", "0.5ms"),
        (0, "s", "0ms"),
        (59.94, "s", "59.9s"),
        (185, "s", "3m05s"),
        (7500.0, "s", "2h05m"),
        (100_000, "s", "1d03h"),
        (4196471, "bytes", "4.0MiB"),
        (2048, "bytes/s", "2.0KiB/s"),
        (12, "days", "12 days"),
        (0.123456, "", "0.123"),
        (0, "unix", "-"),
        (["a", "b"], "", "a, b"),
        ("two\nlines", "", "two lines"),
        ("\x1b[2J", "", r"\x1b[2J"),
    ],
)
def test_values(value: object, unit: str, text: str) -> None:
    assert shown_value(value, unit) == text
