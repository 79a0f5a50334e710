"""Commands: requests of an engine to its driver, as values that the driver takes and executes.

They never change. They are not frozen, because making a frozen one takes three times as long
(measured), and each connection needs several.

Tested through the engine and each driver: tests/engine, tests/drivers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vcproxy.engine.address import Address

if TYPE_CHECKING:
    from vcproxy.engine.bridge import Bridge
    from vcproxy.engine.fan import Fan
    from vcproxy.engine.listener import Listener
    from vcproxy.engine.net import NetVConnection
    from vcproxy.engine.outgoing import Outgoing
    from vcproxy.engine.sources.bus_messages import BusMessages
    from vcproxy.engine.sources.child_process import ChildProcess
    from vcproxy.engine.sources.content_watch import ContentWatch
    from vcproxy.engine.sources.datagrams import SendingSource
    from vcproxy.engine.sources.file_changes import FileChanges, Watch
    from vcproxy.engine.sources.source import Source


@dataclass(slots=True)
class Resolve:
    """Find the numeric addresses of a host; answer `outgoing.resolved(addresses, error)`."""

    outgoing: Outgoing
    address: Address


@dataclass(slots=True)
class Connect:
    """Connect to one numeric or Unix address; answer `outgoing.connected()` or `.refused()`.

    If the outgoing VC has `tls`, the handshake follows, and is answered by `vc.established()` or
    `vc.failed()`. One VC may have several Connects at a time: see Outgoing.
    """

    outgoing: Outgoing
    address: Address


@dataclass(slots=True)
class Subscribe:
    """Receive what is sent to one numeric udp address (join it, if it is a multicast group), or to
    a NATS subject. Answered like Connect.
    """

    outgoing: Outgoing
    address: Address


@dataclass(slots=True)
class ShutdownWrite:
    """Send the end of stream, after all bytes counted by `sent()`."""

    vc: NetVConnection


@dataclass(slots=True)
class Close:
    """Close; answer `vc.gone()` when the descriptor is closed.

    The bytes counted by `sent()` are still transmitted. With `abort` the peer gets a reset instead.
    """

    vc: NetVConnection
    abort: bool


@dataclass(slots=True)
class Call:
    """Run `fn(*args)` off the loop; answer `engine.called(number, value, error)`.

    `pool` is a listener's name. Calls of one pool may wait for each other, but never for calls of
    another pool.
    """

    number: int
    fn: Callable[..., object]
    args: tuple[object, ...]
    pool: str = ""


@dataclass(slots=True)
class CancelCall:
    """Cancel a Call: the driver need not run or answer it."""

    number: int


@dataclass(slots=True)
class StartBridge:
    """Move a direction with splice from now on; answer `bridge.refuse()` if that is impossible."""

    bridge: Bridge


@dataclass(slots=True)
class EndBridge:
    """Stop moving; answer `bridge.ended(rest)` with the contents of the pipe."""

    bridge: Bridge


@dataclass(slots=True)
class Spread:
    """Write the next data of a fan to its level sinks; see Fan."""

    fan: Fan


@dataclass(slots=True)
class ResumeAccept:
    """The listener may accept again: connections have closed."""

    listener: Listener


@dataclass(slots=True)
class OpenSource:
    """Open a source: pass in what happens there, with `engine.happened(source, event)`."""

    source: Source


@dataclass(slots=True)
class CloseSource:
    """Close a source that has not ended. A child process is killed and reaped."""

    source: Source


@dataclass(slots=True)
class DisableSource:
    """Stop watching a source that has not ended, where that loses nothing; a socket stays open.

    What is passed in nevertheless is kept by the engine.
    """

    source: Source


@dataclass(slots=True)
class EnableSource:
    """Watch a source again that was disabled."""

    source: Source


@dataclass(slots=True)
class SignalChild:
    """Send a signal to a child process that has not ended; if it is being launched, afterwards."""

    source: ChildProcess
    number: int


@dataclass(slots=True)
class SendDatagram:
    """Send a datagram from the socket of a source, or drop it."""

    source: SendingSource[Any]
    data: bytes
    to: Any
    """A HostPort, or the path of a Unix socket."""


@dataclass(slots=True)
class WatchPath:
    """Watch a path for a source, in addition to what it watches already."""

    source: FileChanges
    watch: Watch


@dataclass(slots=True)
class UnwatchPath:
    """Stop watching a path for a source."""

    source: FileChanges
    path: str


@dataclass(slots=True)
class WatchContent:
    """Watch the content of these files for a source, and of no others."""

    source: ContentWatch
    paths: tuple[str, ...]


@dataclass(slots=True)
class SendBusReply:
    """Send a message of the bus, in text form, the way of a BusReceived."""

    source: BusMessages
    route: int
    text: str


@dataclass(slots=True)
class Rescan:
    """Read the configuration and the plugins again, and apply them."""


@dataclass(slots=True)
class Stop:
    """End the process in order, with an exit status: there is nothing left to do."""

    status: int = 0


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
    | OpenSource
    | CloseSource
    | DisableSource
    | EnableSource
    | SignalChild
    | SendDatagram
    | WatchPath
    | UnwatchPath
    | WatchContent
    | SendBusReply
    | Rescan
    | Stop
)
