"""Commands: requests of an engine to its driver, as values that the driver takes and executes.

Tested through the engine and each driver: tests/engine, tests/drivers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vcproxy.engine.address import Address

if TYPE_CHECKING:
    from vcproxy.engine.bridge import Bridge
    from vcproxy.engine.fan import Fan
    from vcproxy.engine.listener import Listener
    from vcproxy.engine.net import NetVConnection
    from vcproxy.engine.outgoing import Outgoing


@dataclass(frozen=True, slots=True)
class Resolve:
    """Find the numeric addresses of a host; answer `outgoing.resolved(addresses, error)`."""

    outgoing: Outgoing
    address: Address


@dataclass(frozen=True, slots=True)
class Connect:
    """Connect to one numeric or Unix address; answer `outgoing.connected()` or `.refused()`.

    Where the outgoing VC has `tls` the handshake follows; `vc.established()` or `vc.failed()`
    answers that. There may be several at a time for one VC: see Outgoing.
    """

    outgoing: Outgoing
    address: Address


@dataclass(frozen=True, slots=True)
class Subscribe:
    """Receive what is sent to one numeric udp address (join it, if it is a multicast group), or to
    a NATS subject. Answered as Connect is.
    """

    outgoing: Outgoing
    address: Address


@dataclass(frozen=True, slots=True)
class ShutdownWrite:
    """Send the end of stream, after all that `sent` has counted."""

    vc: NetVConnection


@dataclass(frozen=True, slots=True)
class Close:
    """Close; answer `vc.gone()` when the descriptor is closed.

    What `sent` has counted is still transmitted, unless `abort`: then the peer gets a reset.
    """

    vc: NetVConnection
    abort: bool


@dataclass(frozen=True, slots=True)
class Call:
    """Run `fn(*args)` off the loop; answer `engine.called(number, value, error)`.

    Calls of one `pool`, a listener's name, may wait for each other; those of two pools never do.
    """

    number: int
    fn: Callable[..., object]
    args: tuple[object, ...]
    pool: str = ""


@dataclass(frozen=True, slots=True)
class CancelCall:
    """Cancel a Call: it need neither be run nor answered."""

    number: int


@dataclass(frozen=True, slots=True)
class StartBridge:
    """Move a direction with splice from now on; `bridge.refuse()` where that is impossible."""

    bridge: Bridge


@dataclass(frozen=True, slots=True)
class EndBridge:
    """Stop moving; answer `bridge.ended(rest)` with the contents of the pipe."""

    bridge: Bridge


@dataclass(frozen=True, slots=True)
class Spread:
    """Write the next data of a fan to its level sinks; see Fan."""

    fan: Fan


@dataclass(frozen=True, slots=True)
class ResumeAccept:
    """The listener may accept again: connections have closed."""

    listener: Listener


@dataclass(frozen=True, slots=True)
class Rescan:
    """Read the configuration and the plugins again, and apply them."""


@dataclass(frozen=True, slots=True)
class Stop:
    """End the process in order: there is nothing left to do."""


Command = (
    Resolve
    | Connect
    | Subscribe
    | ShutdownWrite
    | Close
    | Call
    | CancelCall
    | StartBridge
    | EndBridge
    | Spread
    | ResumeAccept
    | Rescan
    | Stop
)
