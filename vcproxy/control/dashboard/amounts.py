"""amount: numbers with their units, for people.

The page does the same in `page/format.js`; tests/control/dashboard/test_amounts.py and the test of
the page compare both with one table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from vcproxy.control.dashboard.nodes import Unit

DECIMAL: Final = ("", "k", "M", "G", "T", "P")
BINARY: Final = ("", "Ki", "Mi", "Gi", "Ti", "Pi")

NONE: Final = "\N{EN DASH}"
"""What stands for a number that is not known."""


def amount(value: float | str | None, unit: Unit) -> str:
    """Return a number in a unit, as "1.25 MB/s"; a text is returned as it is."""
    if value is None:
        return NONE
    if isinstance(value, str):
        return value
    if unit == "s":
        return duration(value)
    if unit == "B":
        return _scaled(value, 1024, BINARY, " ", "B")
    if unit == "B/s":
        return _scaled(value, 1000, DECIMAL, " ", "B/s")
    if unit == "/s":
        return _scaled(value, 1000, DECIMAL, "", "/s")
    return f"{value:,.0f}" if abs(value) < 100_000 else _scaled(value, 1000, DECIMAL, "", "")


def _scaled(value: float, step: int, prefixes: tuple[str, ...], space: str, unit: str) -> str:
    power = 0
    while abs(value) >= step * 0.9995 and power < len(prefixes) - 1:
        value /= step
        power += 1
    if power == 0:
        digits = 0 if value >= 10 or float(value).is_integer() else 1
    else:
        digits = 0 if value >= 99.95 else 1 if value >= 9.995 else 2
    return f"{value:.{digits}f}{space}{prefixes[power]}{unit}"


def duration(seconds: float) -> str:
    """Return a time: "3.2 ms", "4.1 s", "5 min 3 s", "2 h 5 min", "3 d 4 h"."""
    if seconds < 0:
        return NONE
    if seconds < 1:
        return f"{seconds * 1000:.{1 if seconds < 0.01 else 0}f} ms"
    if seconds < 60:
        return f"{seconds:.{1 if seconds < 9.95 else 0}f} s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"
