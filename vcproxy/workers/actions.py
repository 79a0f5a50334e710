"""What Master asks of the process that it runs in. MasterProcess carries it out.

A *candidate* is the configuration of a reload, from Load until Adopt or Drop. Tested in
tests/workers/test_master.py.
"""

from __future__ import annotations

from dataclasses import dataclass

from vcproxy.supervise.actions import Log
from vcproxy.workers.messages import Message


@dataclass(frozen=True, slots=True)
class Spawn:
    """Start a worker process, with the configuration in use: send its sockets and PREPARE."""

    worker: int
    generation: int


@dataclass(frozen=True, slots=True)
class Offer:
    """Send a worker the candidate: its new sockets and PREPARE."""

    worker: int
    generation: int


@dataclass(frozen=True, slots=True)
class Send:
    """Send a message to a worker."""

    worker: int
    message: Message


@dataclass(frozen=True, slots=True)
class AskStacks:
    """Ask a worker process that seems to hang for the stacks of its threads."""

    worker: int


@dataclass(frozen=True, slots=True)
class Kill:
    """End a worker process with SIGKILL. If it was asked for its stacks, log them."""

    worker: int


@dataclass(frozen=True, slots=True)
class StartSuccessor:
    """Start another process for a worker, as for Spawn, beside the one that serves."""

    worker: int
    generation: int


@dataclass(frozen=True, slots=True)
class Succeed:
    """The successor is the process of the worker from now on; the old one is leaving."""

    worker: int


@dataclass(frozen=True, slots=True)
class KillSuccessor:
    """End the successor with SIGKILL, if there is one, and forget it."""


@dataclass(frozen=True, slots=True)
class SendLeaving:
    """Send a message to the process that is leaving."""

    message: Message


@dataclass(frozen=True, slots=True)
class KillLeaving:
    """End the process that is leaving with SIGKILL."""


@dataclass(frozen=True, slots=True)
class Restarted:
    """Log that a number of workers were replaced, and all serve."""

    workers: int


@dataclass(frozen=True, slots=True)
class NotRestarted:
    """Log that a restart has ended early: the remaining workers are as before."""

    reason: str


@dataclass(frozen=True, slots=True)
class Load:
    """Read the configuration file again and bind the new addresses; then call `loaded`."""


@dataclass(frozen=True, slots=True)
class Adopt:
    """Make the candidate the configuration in use. Close the sockets that it does not need."""


@dataclass(frozen=True, slots=True)
class Drop:
    """Forget the candidate, if there is one, and close its new sockets."""


@dataclass(frozen=True, slots=True)
class Ready:
    """Print the addresses and `ready`: all workers serve."""


@dataclass(frozen=True, slots=True)
class Reloaded:
    """Print the new addresses and log the reload: all workers use the new configuration."""


@dataclass(frozen=True, slots=True)
class NotReloaded:
    """Log that a reload has failed: all workers use the configuration as before."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unlisten:
    """The end begins: close all listening sockets of streams, as no client may wait for a proxy
    that ends."""


@dataclass(frozen=True, slots=True)
class Reopen:
    """Reopen the log file."""


@dataclass(frozen=True, slots=True)
class Exit:
    """End the master process. `reason`: what to print on standard error; empty: nothing."""

    status: int
    reason: str = ""


Action = (
    Spawn
    | Offer
    | Send
    | AskStacks
    | Kill
    | StartSuccessor
    | Succeed
    | KillSuccessor
    | SendLeaving
    | KillLeaving
    | Restarted
    | NotRestarted
    | Load
    | Adopt
    | Drop
    | Ready
    | Reloaded
    | NotReloaded
    | Unlisten
    | Reopen
    | Log
    | Exit
)
