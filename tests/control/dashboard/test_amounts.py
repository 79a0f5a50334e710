"""Numbers with their units."""

from __future__ import annotations

import pytest

from vcproxy.control.dashboard.amounts import amount
from vcproxy.control.dashboard.nodes import Unit

AMOUNTS: list[tuple[float | str | None, Unit, str]] = [
    (0, "", "0"),
    (1204, "", "1,204"),
    (99_999, "", "99,999"),
    (1_234_567, "", "1.23M"),
    (0, "B/s", "0 B/s"),
    (0.5, "B/s", "0.5 B/s"),
    (999.4, "B/s", "999 B/s"),
    (999.9, "B/s", "1.00 kB/s"),
    (1250, "B/s", "1.25 kB/s"),
    (99_960, "B/s", "100 kB/s"),
    (21_400_000, "B/s", "21.4 MB/s"),
    (3e12, "B/s", "3.00 TB/s"),
    (0, "B", "0 B"),
    (1023, "B", "1023 B"),
    (1024, "B", "1.00 KiB"),
    (912 << 10, "B", "912 KiB"),
    (1 << 20, "B", "1.00 MiB"),
    (0.6, "/s", "0.6/s"),
    (72.4, "/s", "72/s"),
    (1500, "/s", "1.50k/s"),
    (0.0008, "s", "0.8 ms"),
    (0.25, "s", "250 ms"),
    (4.12, "s", "4.1 s"),
    (9.97, "s", "10 s"),
    (59.2, "s", "59 s"),
    (303, "s", "5 min 3 s"),
    (93_784, "s", "26 h 3 min"),
    (280_000, "s", "3 d 5 h"),
    ("down", "", "down"),
    (None, "", "–"),
    (-1, "s", "–"),
]
"""Numbers, units, and how they are shown; also by the page: tests/e2e/browser."""


@pytest.mark.parametrize(("value", "unit", "text"), AMOUNTS)
def test_it_is_shown(value: float | str | None, unit: Unit, text: str) -> None:
    assert amount(value, unit) == text
