"""Patterns of commands."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcproxy.bus.dispatch.pattern import InvalidPattern, Pattern


@pytest.mark.parametrize(
    ("pattern", "command", "captured"),
    [
        ("STOP", "STOP", {}),
        ("STOP", "STOPPED", None),
        ("STOP", "stop", None),
        ("EVENT<number>", "EVENT5", {"number": "5"}),
        ("EVENT<number>", "EVENT007", {"number": "007"}),
        ("EVENT<number>", "EVENT", None),
        ("EVENT<number>", "EVENT5\n", None),
        ("EVENT<number>", "EVENT٥", None),
        ("EVENT<number>", "EVENTS", None),
        ("EVENT<number>_DONE", "EVENT12_DONE", {"number": "12"}),
        ("<name>_IS_<state>", "FRONT_DOOR_IS_OPEN", {"name": "FRONT_DOOR", "state": "OPEN"}),
        ("<name>_IS_<state>", "_IS_OPEN", None),
        ("MOVE_<x:number>_<y:number>", "MOVE_3_14", {"x": "3", "y": "14"}),
        ("<all>", "STOP", {"all": "STOP"}),
    ],
)
def test_what_it_captures(pattern: str, command: str, captured: dict[str, str] | None) -> None:
    assert Pattern(pattern).match(command) == captured


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "it is empty"),
        ("stop", '"stop" is not of A-Z, 0-9 and _'),
        ("STOP NOW", '"STOP NOW" is not of A-Z, 0-9 and _'),
        ("9STOP", "commands do not begin with a digit"),
        ("EVENT<number", '"<number" is not complete'),
        ("EVENT<>", '"<>" is not complete'),
        ("EVENT<NUMBER>", '"<NUMBER>" is not complete'),
        ("<x>_<x>", "<x> is there twice"),
        ("<x:integer>", '<x:integer>: "number" is the only kind'),
        ("EVENT[0-9]", '"EVENT[0-9]" is not of A-Z, 0-9 and _'),
    ],
)
def test_what_is_no_pattern(text: str, why: str) -> None:
    with pytest.raises(InvalidPattern) as caught:
        Pattern(text)
    assert str(caught.value).startswith(f'"{text}" is not a pattern of commands: {why}: write ')


@given(st.from_regex(r"[A-Z_][A-Z0-9_]{0,20}", fullmatch=True), st.text("STOP<>_1", max_size=8))
def test_a_command_matches_itself_only(command: str, other: str) -> None:
    assert Pattern(command).match(command) == {}
    assert (Pattern(command).match(other) is None) == (command != other)


@given(st.integers(0, 10**20))
def test_a_number_comes_back(number: int) -> None:
    captured = Pattern("EVENT<number>").match(f"EVENT{number}")
    assert captured is not None
    assert int(captured["number"]) == number
