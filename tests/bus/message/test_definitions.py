"""Definitions: what a command's parameters have to be."""

from __future__ import annotations

from pathlib import Path

import pytest

from vcproxy.bus.message.bus_message import BusMessage
from vcproxy.bus.message.definitions import InvalidDefinitions, load, parse

STANDARD = (
    "ABSOLUTELY ALIVE COMMANDS HELP INVALID LEAK LOG_ROTATE QUITTING READY RESTART "
    "SERVICE_UNAVAILABLE STOP UNKNOWN"
)


def test_the_package_defines_the_standard_messages() -> None:
    definitions = load()
    assert " ".join(definition.command for definition in definitions) == STANDARD
    assert all(
        definition.description and all(p.description for p in definition.parameters)
        for definition in definitions
    )


@pytest.mark.parametrize(
    ("line", "problems"),
    [
        ("ABSOLUTELY reply_timestamp=1.5", []),
        ("ABSOLUTELY serial=1;other=2;reply_timestamp=1.5", []),
        ("ABSOLUTELY", ['the parameter "reply_timestamp" is missing']),
        ("ABSOLUTELY reply_timestamp=", ['the parameter "reply_timestamp" is empty']),
        ("COMMANDS list=", ['the parameter "list" is empty']),
        ("READY my_address=tcp://127.0.0.1:80", []),
        ("STOP now=1", []),
        ("NOT_DEFINED now=1", []),
    ],
)
def test_problems(line: str, problems: list[str]) -> None:
    assert load().problems(BusMessage.parse(line)) == problems


def test_a_parameter_without_flags_is_required_and_may_be_empty() -> None:
    definition = parse("LOCK", "[name]\n")
    assert definition.problems(BusMessage.parse("LOCK name=")) == []
    assert definition.problems(BusMessage.parse("LOCK")) == ['the parameter "name" is missing']


def test_the_first_directory_counts(tmp_path: Path) -> None:
    for folder, flags in (("first", "forbidden"), ("second", "required")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "STOP.conf").write_text(f"[now]\nflags = {flags}\n")
    definitions = load([tmp_path / "first", tmp_path / "second"])
    problems = definitions.problems(BusMessage("STOP", {"now": "1"}))
    assert problems == ['the parameter "now" is not allowed']
    with pytest.raises(InvalidDefinitions, match="third: the definitions of messages cannot be"):
        load([tmp_path / "third"])
