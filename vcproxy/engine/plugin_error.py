"""Mistakes: what an author's code raises, whatever its class.

`except BaseException` stands where such code is called, and only there: CancelledError,
KeyboardInterrupt, GeneratorExit and SystemExit in a plugin end its own conversation, as any other
exception does. The signals that stop the proxy never arrive as exceptions: they have handlers.
"""

from __future__ import annotations


def as_error(mistake: BaseException) -> Exception:
    """Return a mistake as an Exception: itself, or one that names it and has it as its cause."""
    if isinstance(mistake, Exception):
        return mistake
    what = "sys.exit()" if isinstance(mistake, SystemExit) else type(mistake).__name__
    said = f" ({mistake})" if str(mistake) else ""
    error = RuntimeError(f"{what}{said} in a plugin ends its conversation, not the program")
    error.__cause__ = mistake
    return error
