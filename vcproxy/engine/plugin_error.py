"""Plugin errors: exceptions of any class that a plugin's code raises.

`except BaseException` is used where plugin code is called, and only there: CancelledError,
KeyboardInterrupt, GeneratorExit and SystemExit in a plugin close its own conversation, as any other
exception does. The signals that stop the proxy never arrive as exceptions: they have handlers.

Tested in tests/engine/test_engine.py.
"""

from __future__ import annotations

CLOSES = "in a plugin closes its conversation, not the program"


def as_error(mistake: BaseException, effect: str = CLOSES) -> Exception:
    """Return an exception as an Exception: itself, or one that names it and has it as its cause.

    `effect`: what it does; its text continues the name of the exception.
    """
    if isinstance(mistake, Exception):
        return mistake
    what = "sys.exit()" if isinstance(mistake, SystemExit) else type(mistake).__name__
    text = f" ({mistake})" if str(mistake) else ""
    error = RuntimeError(f"{what}{text} {effect}")
    error.__cause__ = mistake
    return error
