"""Log entries: how they are written. Tested in tests/app/logs/test_log.py."""

from __future__ import annotations

from functools import lru_cache
from time import localtime, strftime, time
from typing import TYPE_CHECKING

from vcproxy.printable_text import printable

if TYPE_CHECKING:
    from vcproxy.engine.log_function import Level


def entry(level: Level, text: str, error: Exception | None = None) -> str:
    """Return an entry of the log with the current time, and the traceback of `error`.

    Control characters are escaped, and all lines except the first are indented. So text from peers
    can neither forge an entry nor control a terminal.
    """
    return f"{_shown_time(int(time() * 1000))} {level.upper()} {shown(text, error)}"


def shown(text: str, error: Exception | None) -> str:
    """Return the text of an entry with its control characters escaped, and the traceback of
    `error`; all lines except the first are indented."""
    if error is not None:
        import traceback  # 5 ms, which commands without an error save

        text = f"{text}\n{''.join(traceback.format_exception(error)).rstrip()}"
    if not text.isprintable():  # most are
        text = printable(text).replace("\n", "\n    ")
    return text


@lru_cache(maxsize=1)
def _shown_time(milliseconds: int) -> str:
    """Return a time since 1970 as local time. Formatting it takes longer than all the rest, and
    entries come in bursts."""
    second, milliseconds = divmod(milliseconds, 1000)
    return f"{_shown_second(second)},{milliseconds:03d}"


@lru_cache(maxsize=1)
def _shown_second(second: int) -> str:
    return strftime("%Y-%m-%d %H:%M:%S", localtime(second))
