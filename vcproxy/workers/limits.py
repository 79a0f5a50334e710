"""How long the master of several workers waits for what, and the statuses of ends.

Tested in tests/workers/test_master.py.
"""

from __future__ import annotations

from vcproxy.engine.units import show_duration
from vcproxy.listeners.automatic_reloads import LOAD_S

EXHAUSTED_STATUS = 3
"""Exit status after more restarts of workers than the intensity allows. 1 is an error at the start
or at the end, and 2 a wrong command line."""

PREPARE_S = LOAD_S
"""How long a worker may take to load a configuration."""

GRACE_S = 5.0
"""How long a worker may take to end after the time for its end. One that takes longer hangs in a
plugin."""

STACKS_S = 1.0
"""How long a worker that hangs may take to write its stacks: it takes milliseconds, except on a
machine that swaps."""

SIGTERM = 15
"""The number of the signal, the same on every Linux."""

EXITED_0 = "exited with status 0"
"""How a worker ends when it was asked to end."""

NOT_LOADED = f"has not loaded the configuration within {show_duration(PREPARE_S)}"
"""How a worker is late at its start."""
