"""The types of parameters: which texts they take, with which value."""

from __future__ import annotations

import pytest

from vcproxy.bus.message.parameter_values import address, integer, timespec, written


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("-12", -12),
        ("+12", 12),
        ("007", 7),
        ("0x1F", 31),
        ("-0XfF", -255),
        ("0b101", 5),
        ("0o17", 15),
        ("0d9", 9),
        ("9223372036854775807", 2**63 - 1),
        ("-9223372036854775808", -(2**63)),
        ("-0x8000000000000000", -(2**63)),
    ],
)
def test_integers(text: str, value: int) -> None:
    assert integer(text) == value


@pytest.mark.parametrize(
    "text",
    ["", "-", "x", "1.0", " 1", "1 ", "1_000", "0x", "0b2", "0o8", "--1", "9223372036854775808",
     "-9223372036854775809", "0x10000000000000000", "9" * 60_000, "\N{ARABIC-INDIC DIGIT ONE}"],
)  # fmt: skip
def test_what_is_not_an_integer(text: str) -> None:
    with pytest.raises(ValueError, match="it is not an integer of 64 bits"):
        integer(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12", (12, 0)),
        ("12.", (12, 0)),
        ("12.5", (12, 500_000_000)),
        ("1.000000001", (1, 1)),
        (".5", (0, 500_000_000)),
        ("+1.5", (1, 500_000_000)),
        ("-1", (-1, 0)),
        ("-0.5", (-1, 500_000_000)),
        ("-1.25", (-2, 750_000_000)),
    ],
)
def test_times(text: str, value: tuple[int, int]) -> None:
    assert timespec(text) == value


@pytest.mark.parametrize("text", ["", ".", "1.5s", "1. 5", " 1", "1.0000000001", "1e3", "9" * 20])
def test_what_is_not_a_time(text: str) -> None:
    with pytest.raises(ValueError, match="it is not a time in seconds"):
        timespec(text)


@pytest.mark.parametrize(
    ("text", "uri"),
    [
        ("127.0.0.1:80", "tcp://127.0.0.1:80"),
        ("[::1]:80", "tcp://[::1]:80"),
        ("tls://example.com:443", "tls://example.com:443"),
        ("unix:/run/a.sock", "unix:/run/a.sock"),
    ],
)
def test_addresses(text: str, uri: str) -> None:
    assert str(address(text)) == uri


@pytest.mark.parametrize("text", ["", "127.0.0.1", "x:y", "tcp://"])
def test_what_is_not_an_address(text: str) -> None:
    with pytest.raises(ValueError, match="tcp://"):
        address(text)


def test_written() -> None:
    assert [written(value) for value in ("a", 5, True, False)] == ["a", "5", "true", "false"]
