"""What the master of several workers is doing, and what each worker has reached.

The phases of the master, and what all workers have reached when one ends:

    STARTING --all PREPARED--> COMMITTING --all SERVING--> SERVING
    SERVING --SIGHUP--> LOADING --loaded, all SERVING--> PREPARING
    PREPARING --all PREPARED--> COMMITTING --all SERVING--> SERVING
    PREPARING --one refuses, ends, or is late--> SERVING, with the configuration as before
    SERVING --RESTART--> RESTARTING --its successor is SERVING--> SERVING, for each worker in turn
    any --SIGTERM--> DRAINING --SIGTERM--> STOPPING
    DRAINING, STOPPING --all ENDED--> Exit

Tested in tests/workers/test_master.py.
"""

from __future__ import annotations

from enum import Enum, auto


class Phase(Enum):
    """What the master is doing."""

    STARTING = auto()
    SERVING = auto()
    LOADING = auto()
    PREPARING = auto()
    COMMITTING = auto()
    RESTARTING = auto()
    """A worker is being replaced: see RollingRestart."""
    DRAINING = auto()
    STOPPING = auto()


class State(Enum):
    """What a worker has reached."""

    PREPARING = auto()
    """The worker loads the configuration of its generation, for a reload or because it was just
    started."""
    PREPARED = auto()
    COMMITTING = auto()
    SERVING = auto()
    ENDED = auto()
