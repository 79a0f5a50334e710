"""Definitions: what a command's parameters have to be."""

from __future__ import annotations

from pathlib import Path

import pytest

from vcproxy.bus.message.bus_message import BusMessage
from vcproxy.bus.message.definitions import (
    Definition,
    InvalidDefinitions,
    ParameterDefinition,
    load,
    parse,
)

STANDARD = (
    "ABSOLUTELY ALIVE COMMANDS HELP INVALID LEAK LOG_ROTATE QUITTING READY RESTART "
    "SERVICE_UNAVAILABLE STOP UNKNOWN"
)

OF_PROXIES = (
    "CHANGED DRAIN KILL LOG_LEVEL LOG_ROTATED NOT_CHANGED NOT_RELOADED NOT_RESTARTED PROXY_STATUS "
    "RELOAD RELOADED RESTARTED ROWS SERVER SHOW SOURCES STATUS STOPPING WAITED_FOR"
)
"""Those of the control: vcproxy/control/commands.py."""


def test_the_package_defines_the_standard_messages() -> None:
    definitions = load()
    commands = sorted([*STANDARD.split(), *OF_PROXIES.split()])
    assert [definition.command for definition in definitions] == commands
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


ALL = """
# comment
; comment
description = Take a lock.

[name]
description = Its name.

[timeout]
type = integer
flags = optional

[owner]
type = address
flags = required, empty

[since]
type = timespec
flags = allowed, empty

[old]
flags=forbidden
"""


@pytest.mark.parametrize(
    ("parameters", "problems"),
    [
        ("name=a;owner=127.0.0.1:80", []),
        ("name=;owner=;since=", []),
        ("name=a;timeout=0x10;owner=;since=-1.5", []),
        ("name=a;timeout=;owner=", ['the parameter "timeout" is empty']),
        ("name=a;owner=;timeout=x", ['timeout="x": it is not an integer of 64 bits']),
        ("name=a;owner=;old=", ['the parameter "old" is not allowed']),
        ("since=now;old=1", [
            'the parameter "name" is missing',
            'the parameter "owner" is missing',
            'since="now": it is not a time in seconds, as in 12.5, with at most 9 decimals',
            'the parameter "old" is not allowed',
        ]),
    ],
)  # fmt: skip
def test_every_type_and_flag(parameters: str, problems: list[str]) -> None:
    assert parse("LOCK", ALL).problems(BusMessage.parse(f"LOCK {parameters}")) == problems


def test_an_address_that_is_none() -> None:
    (problem,) = parse("LOCK", ALL).problems(BusMessage.parse("LOCK name=a;owner=here"))
    assert problem.startswith('owner="here": "tcp://here" names no port')


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[a]\n[b]\n[a]", ':3: the parameter "a" is defined twice'),
        ("[9a]", ':1: "9a" is not the name of a parameter'),
        ("[]", ':1: "" is not the name of a parameter'),
        (
            "[a]\ntype = number",
            ':2: "number" is not a type: string, integer, address, timespec are',
        ),
        ("[a]\nflags = optional, rare", ':2: "rare" is not a flag: required, optional, allowed,'),
        ("[a]\nflags = required, optional", ':2: the flags of "a" contradict each other: required'),
        (
            "[a]\nflags = forbidden, defined",
            ':2: the flags of "a" contradict each other: forbidden',
        ),
        ("[a]\nflags = empty, forbidden", ':2: the flags of "a" contradict each other: empty'),
        ("[a]\nflags = optional\nflags = empty", ':3: "flags" is given twice'),
        ("flags = empty", ':1: unknown key "flags": here is description'),
        ("[a]\ncolour = red", ':2: unknown key "colour": here is type, flags, description'),
        ("[a\n", ':1: "[a" is neither [name] nor name = value'),
        ("what", ':1: "what" is neither [name] nor name = value'),
    ],
)
def test_a_definition_that_is_refused(text: str, problem: str) -> None:
    with pytest.raises(InvalidDefinitions) as refused:
        parse("LOCK", text, "/etc/LOCK.conf")
    assert refused.value.problems[0].startswith(f"/etc/LOCK.conf{problem}")


def test_all_problems_of_all_files_are_reported(tmp_path: Path) -> None:
    (tmp_path / "LOCK.conf").write_text("what\n[a]\ntype = number\n")
    (tmp_path / "lock.conf").write_text("")
    (tmp_path / "README").write_text("no definition")
    with pytest.raises(InvalidDefinitions) as refused:
        load([tmp_path])
    assert [problem.removeprefix(f"{tmp_path}/") for problem in refused.value.problems] == [
        'LOCK.conf:1: "what" is neither [name] nor name = value',
        'LOCK.conf:3: "number" is not a type: string, integer, address, timespec are',
        "lock.conf: a file is named for its command, which consists of upper-case letters, "
        "digits and _",
    ]
    (tmp_path / "UNLOCK.conf").write_bytes(b"\xff")
    with pytest.raises(
        InvalidDefinitions, match=r"UNLOCK\.conf: the file cannot be read: it is not"
    ):
        load([tmp_path])


def test_definitions_of_a_program() -> None:
    definitions = load(builtin=False)
    assert list(definitions) == []
    definitions.add(Definition("EVENT", "An event.", (ParameterDefinition("number", "integer"),)))
    assert definitions.problems(BusMessage("EVENT")) == ['the parameter "number" is missing']
    found = definitions.get("EVENT")
    assert found is not None
    assert found.description == "An event."
    assert definitions.get("STOP") is None
