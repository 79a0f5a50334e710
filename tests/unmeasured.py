"""The environment of a child process that `make coverage` does not measure."""

from __future__ import annotations

import os


def unmeasured() -> dict[str, str]:
    """Return this process's environment without the variables that have a child measured.

    Measuring imports modules of its own, and writes a file at the end of the process.
    """
    return {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
