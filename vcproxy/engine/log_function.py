"""LogFunction: how an engine logs. Tested through the engines of tests/engine."""

from __future__ import annotations

from typing import Literal, Protocol

Level = Literal["debug", "info", "warning", "error"]


class LogFunction(Protocol):
    """Where an engine logs. It must not block."""

    def __call__(self, level: Level, text: str, error: Exception | None = None) -> None:
        """Log a line. `error` is a mistake in code, to be shown with its traceback."""
