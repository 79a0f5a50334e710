"""Dates: the Date field of responses (RFC 9110 6.6.1, 5.6.7), formatted once a second at most."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Protocol

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_EPOCH = datetime(1970, 1, 1)
_DAY, _MONTH = "(?P<day>[0-9]{2})", "(?P<month>[A-Z][a-z]{2})"
_TIME = "(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2})"
_FORMS = (
    re.compile(f"[A-Z][a-z]{{2}}, {_DAY} {_MONTH} (?P<year>[0-9]{{4}}) {_TIME} GMT"),
    re.compile(f"[A-Z][a-z]+day, {_DAY}-{_MONTH}-(?P<year>[0-9]{{2}}) {_TIME} GMT"),
    re.compile(f"[A-Z][a-z]{{2}} {_MONTH} (?P<day>[0-9 ][0-9]) {_TIME} (?P<year>[0-9]{{4}})"),
)
"""The form that is sent, and the two obsolete ones, of RFC 850 and asctime (RFC 9110 5.6.7)."""


class TimeOfDay(Protocol):
    """A source of the time of day, such as an engine."""

    wall: int
    """Seconds since 1970, UTC; 0: not known."""


class NoClock:
    """A TimeOfDay without a clock: the time is never known."""

    wall = 0


class Dates:
    """The Date line for the current second of a clock."""

    __slots__ = ("_clock", "_line", "_wall")

    def __init__(self, clock: TimeOfDay) -> None:
        self._clock = clock
        self._wall = 0
        self._line = b""

    def line(self) -> bytes:
        """Return the line with its CRLF; empty while the time is not known."""
        wall = self._clock.wall
        if wall != self._wall:
            self._wall = wall
            self._line = b"Date: %b\r\n" % http_date(wall).encode() if wall else b""
        return self._line


def http_date(wall: int) -> str:
    """Format seconds since 1970 as HTTP does: "Sun, 06 Nov 1994 08:49:37 GMT"."""
    at = _EPOCH + timedelta(seconds=wall)
    day = f"{_DAYS[at.weekday()]}, {at.day:02} {_MONTHS[at.month - 1]} {at.year:04}"
    return f"{day} {at.hour:02}:{at.minute:02}:{at.second:02} GMT"


def read_http_date(text: str) -> int | None:
    """Return the seconds since 1970 of a date in one of the three forms of RFC 9110 5.6.7; None: it
    is in none of them, or no such time exists. A year of two digits is the one from 1970 to
    2069."""
    for form in _FORMS:
        found = form.fullmatch(text)
        if found is None:
            continue
        year = int(found["year"])
        if year < 100:
            year += 1900 if year >= 70 else 2000
        try:
            month = _MONTHS.index(found["month"]) + 1
            second = min(int(found["second"]), 59)  # a leap second
            at = datetime(year, month, int(found["day"]), int(found["hour"]), int(found["minute"]))
        except ValueError:
            return None
        return int((at - _EPOCH).total_seconds()) + second
    return None
