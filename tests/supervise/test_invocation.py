"""Invocation: the arguments of a machine's program."""

from __future__ import annotations

import pytest

from vcproxy.supervise.invocation import Invocation


def test_path_name_address_parent_and_the_arguments_of_the_author() -> None:
    argv = ("/srv/family/Child", "family/Child#Alice", ":0", "127.0.0.1:56950", "10", "blue")
    assert Invocation.parse(argv) == Invocation(
        path="/srv/family/Child",
        name="family/Child#Alice",
        address=("127.0.0.1", 0),
        parent=("127.0.0.1", 56950),
        arguments=("10", "blue"),
    )


def test_argv_is_what_is_parsed() -> None:
    argv = ("/srv/echo/Echo", "echo/Echo", "10.0.0.7:4000", "[::1]:42000")
    assert Invocation.parse(argv).argv() == argv


@pytest.mark.parametrize("argv", [[], ["./Echo"], ["./Echo", "echo/Echo", ":0"]])
def test_missing_arguments_are_answered_with_the_usage(argv: list[str]) -> None:
    with pytest.raises(ValueError, match=r"^usage: .* NAME ADDRESS PARENT \[ARGUMENT\]"):
        Invocation.parse(argv)


def test_addresses_must_be_addresses() -> None:
    with pytest.raises(ValueError, match='"a b" is not an address'):
        Invocation.parse(["./Echo", "echo/Echo", "a b", ":1"])
