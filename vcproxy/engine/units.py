"""Durations and sizes as text: "250ms", "5s", "2m", "64KiB", "1MiB"."""

import re

_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_QUANTITY = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]+)", re.ASCII)


def _quantity(
    text: str, units: dict[str, float] | dict[str, int], kind: str, example: str
) -> float:
    match = _QUANTITY.fullmatch(text.strip())
    if match is None or match[2] not in units:
        known = ", ".join(units)
        raise ValueError(
            f'"{text}" is not a {kind}: write a number and a unit ({known}), as "{example}"'
        )
    return float(match[1]) * units[match[2]]


def duration(text: str) -> float:
    """Return the seconds in a duration such as "250ms" or "1.5s".

    Raises ValueError, with the known units, for anything else.
    """
    # Rounded to nanoseconds: else 65751627ms and 65751.627s would be two different floats.
    return round(_quantity(text, _SECONDS, "duration", "5s"), 9)


def seconds(value: str | float) -> float:
    """Return the seconds in a duration, or a number of seconds as it is: in code an interval may be
    written as text, or come from an option, which is a number.

    Raises ValueError: see `duration`; and for a number below 0.
    """
    if isinstance(value, str):
        return duration(value)
    if not value >= 0:
        raise ValueError(f"{value} seconds: a duration is not below 0")
    return float(value)


def size(text: str) -> int:
    """Return the bytes in a size such as "64KiB".

    Raises ValueError, with the known units, for anything else.
    """
    return int(_quantity(text, _BYTES, "size", "64KiB"))


def show_duration(seconds: float) -> str:
    """Return the shortest exact text of a duration: 0.25 is "250ms", 120.0 is "2m"."""
    for unit in ("d", "h", "m", "s", "ms"):
        count = round(seconds / _SECONDS[unit], 9)
        if count >= 1 and count == int(count):
            return f"{int(count)}{unit}"
    return f"{round(seconds * 1e6)}us" if 0 < seconds < 1e-3 else f"{seconds:.12g}s"


def show_size(count: int) -> str:
    """Return the shortest exact text of a size: 65536 is "64KiB"."""
    for unit in ("GiB", "MiB", "KiB"):
        if count and count % _BYTES[unit] == 0:
            return f"{count // _BYTES[unit]}{unit}"
    return f"{count}B"


def rounded_size(count: int) -> str:
    """Return a size as text for logs, rounded to one decimal: 4196471 is "4.0MiB"."""
    for unit in ("GiB", "MiB", "KiB"):
        if count >= _BYTES[unit]:
            return f"{count / _BYTES[unit]:.1f}{unit}"
    return f"{count}B"
