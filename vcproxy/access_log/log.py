"""AccessLog: the access log of one listener, on one engine."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol, TypeAlias

from vcproxy.access_log.pattern import JSON, Pattern, compiled

if TYPE_CHECKING:
    from vcproxy.access_log.fields import Kind
    from vcproxy.engine.engine import Engine

Sink: TypeAlias = Callable[[bytes], None]
"""Takes a line with its newline, without waiting; any thread may call it."""

_WEYL = 2654435769
"""2**32 divided by the golden ratio: its multiples, modulo 2**32, are spread evenly, and no period
of the traffic, as every second request being a health check, coincides with them."""


class AccessTargets(Protocol):
    """Where access logs are written to: the program has files and log servers, tests have lists."""

    def open(self, targets: frozenset[Hashable]) -> None:
        """Open those that are not open yet. Raises OSError with the target and the reason."""

    def sink(self, target: Hashable) -> Sink:
        """Return what writes to a target that was opened."""

    def keep(self, targets: frozenset[Hashable]) -> None:
        """Close all others, after the lines they were given."""

    def time_of_day(self) -> float:
        """Return the time in seconds since 1970, UTC."""


@dataclass(frozen=True, slots=True)
class AccessLogSettings:
    """What a listener logs, and where."""

    target: Hashable
    form: str = JSON
    """"json", "line" or a template: see `pattern.compiled`."""
    sample: float = 1.0
    """The share of the orderly ends that are logged. All others always are."""


class AccessLog:
    """Writes the records of one listener on one engine. Used on the thread of that engine."""

    __slots__ = (
        "__weakref__",
        "_count",
        "_offset",
        "_second",
        "_second_text",
        "_time_of_day",
        "_wall",
        "engine",
        "filled",
        "settings",
        "sink",
        "written",
    )

    def __init__(
        self,
        engine: Engine,
        settings: AccessLogSettings,
        sink: Sink,
        time_of_day: Callable[[], float],
    ) -> None:
        """Make it. `time_of_day`: see AccessTargets."""
        self.engine = engine
        self.settings = settings
        self.sink = sink
        """What the lines are passed to. A reload may exchange it."""
        self.filled: dict[Hashable, Pattern] = {}
        """Patterns with what many records have in common, by just that."""
        self.written = 0
        """Records written so far; how many of them the target did not take, the sink counts."""
        self._time_of_day = time_of_day
        self._wall = -1  # the engine's time of day for which `_offset` was found
        self._offset = 0.0  # from the engine's time to the time of day
        self._second = -1
        self._second_text = b""
        self._count = 0

    def pattern(self, kind: Kind) -> Pattern:
        """Return how records of a kind become lines."""
        return compiled(self.settings.form, kind)

    def write(self, line: bytes) -> None:
        """Write a line, which ends with a newline. It never waits: a line is dropped and counted
        if the target is too slow."""
        self.written += 1
        self.sink(line)

    def takes(self, orderly: bool) -> bool:
        """Whether the next record is to be written. All are that did not end in order."""
        sample = self.settings.sample
        if sample >= 1 or not orderly:
            return True
        self._count += 1
        return (self._count * _WEYL & 0xFFFFFFFF) < sample * 0x100000000

    def time(self, at: float) -> bytes:
        """Return a time of the engine as the field `time` has it: UTC, with milliseconds."""
        wall = self.engine.wall
        if wall != self._wall:  # once a second: the clock of the host may have been set
            self._wall = wall
            self._offset = self._time_of_day() - self.engine.now
        milliseconds = int((at + self._offset) * 1000)
        second, rest = divmod(milliseconds, 1000)
        if second != self._second:
            self._second = second
            date = datetime.fromtimestamp(second, UTC)
            self._second_text = date.strftime("%Y-%m-%dT%H:%M:%S").encode()
        return b"%b.%03dZ" % (self._second_text, rest)
