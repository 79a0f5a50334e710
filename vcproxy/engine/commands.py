"""Commands: what an engine asks of its driver. Values; the driver takes them and performs them."""

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

    Where the outgoing VC has `tls` the handshake follows, and `vc.established()` or `vc.failed()`
    answers that. Several may be under way for one VC: see Outgoing.
    """

    outgoing: Outgoing
    address: Address


@dataclass(frozen=True, slots=True)
class Subscribe:
    """Hear what is sent to one numeric udp address, as a member if it is a multicast group; or to a
    NATS subject.

    Answered as Connect is.
    """

    outgoing: Outgoing
    address: Address


@dataclass(frozen=True, slots=True)
class ShutdownWrite:
    """Tell the peer that no more will come, after all that `sent` has counted."""

    vc: NetVConnection


@dataclass(frozen=True, slots=True)
class Close:
    """Close; answer `vc.gone()` when the descriptor is closed.

    What `sent` has counted still reaches the peer, unless `abort`: then the peer sees a reset.
    """

    vc: NetVConnection
    abort: bool


@dataclass(frozen=True, slots=True)
class Call:
    """Run `fn(*args)` off the loop; answer `engine.called(number, value, error)`.

    Calls of one `lane`, a listener's name, may wait for each other; those of others never do.
    """

    number: int
    fn: Callable[..., object]
    args: tuple[object, ...]
    lane: str = ""


@dataclass(frozen=True, slots=True)
class CancelCall:
    """Nobody waits for the answer of a Call any more: it need not be run, nor answered."""

    number: int


@dataclass(frozen=True, slots=True)
class StartBridge:
    """Move a direction by itself from now on; `bridge.refuse()` where that cannot be done."""

    bridge: Bridge


@dataclass(frozen=True, slots=True)
class EndBridge:
    """Stop moving; answer `bridge.ended(rest)` with what was still on the way."""

    bridge: Bridge


@dataclass(frozen=True, slots=True)
class Spread:
    """Give all that are level in a fan what comes next; see Fan."""

    fan: Fan


@dataclass(frozen=True, slots=True)
class ResumeAccept:
    """The listener may accept again: connections have gone."""

    listener: Listener


@dataclass(frozen=True, slots=True)
class Rescan:
    """Read the configuration and the plugins again, and apply them."""


@dataclass(frozen=True, slots=True)
class Stop:
    """There is nothing left to do: end the process in an orderly way."""


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
