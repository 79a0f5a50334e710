"""Plugin errors: exceptions of any class that a plugin's code raises.

`except BaseException` is used where plugin code is called, and only there: CancelledError,
KeyboardInterrupt, GeneratorExit and SystemExit in a plugin close its own conversation, as any other
exception does. The signals that stop the proxy never arrive as exceptions: they have handlers.

Tested in tests/engine/test_engine.py.
"""

from __future__ import annotations


def as_error(mistake: BaseException) -> Exception:
    """Return an exception as an Exception: itself, or one that names it and has it as its cause."""
    if isinstance(mistake, Exception):
        return mistake
    what = "sys.exit()" if isinstance(mistake, SystemExit) else type(mistake).__name__
    text = f" ({mistake})" if str(mistake) else ""
    error = RuntimeError(f"{what}{text} in a plugin closes its conversation, not the program")
    error.__cause__ = mistake
    return error
