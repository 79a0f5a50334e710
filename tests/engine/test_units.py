"""Durations and sizes as text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcproxy.engine.units import duration, rounded_size, seconds, show_duration, show_size, size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("250ms", 0.25), ("5s", 5), ("2m", 120), ("1.5h", 5400), ("1d", 86400), ("0s", 0)],
)
def test_durations(text: str, seconds: float) -> None:
    assert duration(text) == seconds


def test_seconds_may_be_a_number() -> None:
    assert (seconds("250ms"), seconds(2), seconds(0.5)) == (0.25, 2.0, 0.5)
    for wrong in (-1, float("nan")):
        with pytest.raises(ValueError, match="a duration is not below 0"):
            seconds(wrong)


@pytest.mark.parametrize(("text", "count"), [("0B", 0), ("64KiB", 65536), ("1.5 MiB", 1572864)])
def test_sizes(text: str, count: int) -> None:
    assert size(text) == count


@pytest.mark.parametrize("text", ["", "5", "s", "-1s", "5 parsecs", "1e3s", "5KB", "٥s", "1.s"])
def test_anything_else_is_refused_with_the_known_units(text: str) -> None:
    with pytest.raises(ValueError, match=r'not a duration: .*\(us, ms, s, m, h, d\), as "5s"'):
        duration(text)
    with pytest.raises(ValueError, match=r'not a size: .*\(B, KiB, MiB, GiB\), as "64KiB"'):
        size(text)


@given(st.integers(0, 10**10))
def test_a_duration_survives_printing_and_parsing(milliseconds: int) -> None:
    seconds = milliseconds / 1000
    assert duration(show_duration(seconds)) == pytest.approx(seconds, rel=1e-12)


@given(st.integers(0, 1 << 50))
def test_a_size_survives_printing_and_parsing(count: int) -> None:
    assert size(show_size(count)) == count


def test_the_shortest_is_shown() -> None:
    assert [show_duration(s) for s in (0.0, 0.25, 1.0, 120.0, 90.0)] == [
        "0s",
        "250ms",
        "1s",
        "2m",
        "90s",
    ]
    assert [show_size(n) for n in (0, 65536, 1 << 20, 1000)] == ["0B", "64KiB", "1MiB", "1000B"]


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0B"), (1023, "1023B"), (1024, "1.0KiB"), (4196471, "4.0MiB"), (3 << 30, "3.0GiB")],
)
def test_rounded_sizes(count: int, text: str) -> None:
    assert rounded_size(count) == text
