"""Duties: their keys, their order, and what a route takes from its listener."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from tests.http.proxy.test_options import read, refused
from vcproxy.http.duties.declared import Duties
from vcproxy.http.duties.order import ORDER


def test_each_duty_has_one_place_in_the_order() -> None:
    assert sorted(ORDER) == sorted(each.name for each in fields(Duties))


def test_a_route_replaces_what_its_listener_declares() -> None:
    options = read(
        response_fields={"set": {"A": "1"}},
        routes=[{"path": "/b", "response_fields": {"set": {"B": "2"}}}, {}],
    )
    first, second = options.routes
    assert options.duties_on(first) == {"response_fields": first.response_fields}
    assert options.duties_on(second) == options.declared
    assert options.late_duties == {"response_fields"}


def test_a_route_may_be_without_a_duty() -> None:
    options = read(response_fields={"set": {"A": "1"}}, routes=[{"without": ["response_fields"]}])
    assert options.duties_on(options.routes[0]) == {}
    assert options.late_duties == {"response_fields"}


@pytest.mark.parametrize(
    ("route", "error"),
    [
        ({"without": ["cache"]}, 'routes.0.without.0: "cache" is not a duty: it may be '),
        (
            {"without": ["response_fields"], "response_fields": {}},
            "routes.0: a route that sets response_fields cannot be without it",
        ),
    ],
)
def test_refused(route: dict[str, object], error: str) -> None:
    (problem,) = refused(routes=[route])
    assert problem.startswith(error)


def test_the_page_has_their_order() -> None:
    page = Path(__file__).parents[3] / "docs" / "how-to" / "http-duties.md"
    listed = re.findall(r"^(\d+)\. `(\w+)`", page.read_text(), re.MULTILINE)
    assert listed == [(str(number), key) for number, key in enumerate(ORDER, 1)]
