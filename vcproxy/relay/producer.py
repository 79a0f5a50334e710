"""Producer: reads the messages of one connection and publishes whole ones in a relay's tunnel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from vcproxy.engine.blocks import EMPTY
from vcproxy.engine.event import Event
from vcproxy.engine.plugin_error import as_error
from vcproxy.framing.decoding import Damaged, FramingError
from vcproxy.framing.framing import reframe_with
from vcproxy.machine.machine import Machine
from vcproxy.machine.state import State
from vcproxy.sessions.streams import InputStream, note_damaged
from vcproxy.tunnels.done import Reason, SourceDone, TunnelWritable
from vcproxy.tunnels.stall_timer import FLUSH_S, STALLED, StallTimer

if TYPE_CHECKING:
    from collections import Counter

    from vcproxy.engine.continuation import Continuation
    from vcproxy.engine.log_function import Level
    from vcproxy.engine.net import NetVConnection
    from vcproxy.engine.vio import VIO
    from vcproxy.framing.framing import Framing
    from vcproxy.tunnels.one_way_multi import OneWayMultiTunnel

BATCH = 256
"""Messages published before `full` is checked again: about a millisecond of work."""

STOP = "STOP"
"""Tag: return the VC to the owner."""


class Editor(Protocol):
    """The part of a relay that edits messages. See Relay."""

    producer: NetVConnection | None
    counts: Counter[str]

    def edit(self, message: bytes) -> bytes | None:
        """Return the message to publish in place of this one; None: nothing."""

    def pack(self, messages: list[bytes]) -> list[bytes]:
        """Return what is published for encoded messages that were read at once."""

    def log_peer(self, level: Level, peer: str, what: str, kind: str = "") -> None:
        """Log what has happened to a connection. `kind`: of lines that are limited."""


class Producer(Machine):
    """Reads a lent VC, and publishes its messages while the tunnel has room.

    SourceDone returns the VC to `owner`: at its end, after a framing error (FRAMING, with a
    ValueError), or after `stop`. Complete messages already read are published first; an incomplete
    one is dropped, and so are damaged ones.

    Args:
        tunnel: where messages are published; message oriented.
        editor: edits and packs messages, and counts the damaged ones. If it raises, the VC is
            returned with ERROR.
        inactivity_s: the VC's inactivity timeout, restarted while the tunnel is blocked.
    """

    __slots__ = (
        "_editor",
        "_error",
        "_inactivity_s",
        "_incoming",
        "_owner",
        "_reason",
        "_stall_timer",
        "_tunnel",
        "started",
        "vc",
    )

    READING = State(initial=True)
    DONE = State(final=True)

    def __init__(
        self,
        owner: Continuation,
        tunnel: OneWayMultiTunnel,
        vc: NetVConnection,
        framing: Framing,
        *,
        editor: Editor,
        inactivity_s: float,
    ) -> None:
        super().__init__(owner.engine, owner.mutex, name=vc.name)
        self.vc = vc
        self.started = False
        """Whether a whole message has been received."""
        self._owner = owner
        self._tunnel = tunnel
        self._editor = editor
        self._inactivity_s = inactivity_s
        self._incoming = InputStream(self, vc, framing, turn_limit=4 * BATCH)
        self._stall_timer: StallTimer | None = None
        self._reason = Reason.STOPPED
        self._error: Exception | None = None

    @property
    def received(self) -> int:
        """Bytes read from the VC."""
        return self._incoming.vio.ndone

    @READING.on(Event.READ_READY, Event.EOS, TunnelWritable, to=(DONE,))
    def readable(self, _: VIO | TunnelWritable) -> State | None:
        """Publish the buffered messages, while the tunnel has room."""
        while not self._tunnel.full:
            more = self._publish_batch()
            if self._reason is Reason.ERROR:
                return self.DONE
            if not more:
                return self._input_ended() if self._incoming.stopped else None
        return None

    @READING.on(Event.ERROR, to=(DONE,))
    def failed(self, vio: VIO) -> State | None:
        """Read what the kernel still holds for the failed connection, while there is room."""
        if not self._incoming.read_rest():
            return self._input_ended()
        if self._stall_timer is None:
            self._stall_timer = StallTimer(self, FLUSH_S, lambda: self.received)
        return None

    @READING.on(STALLED, to=DONE)
    def stalled(self, _: object) -> None:
        """End: the tunnel had no room for the rest of a failed connection for FLUSH_S."""
        self._reason, self._error = Reason.ERROR, self.vc.error

    @READING.on(Event.INACTIVITY_TIMEOUT, to=(DONE,))
    def timed_out_inactive(self, _: VIO) -> State | None:
        """End after the inactivity timeout; but while the tunnel is blocked, restart it."""
        if self._tunnel.blocked:
            self.vc.set_inactivity_timeout(self._inactivity_s)
            return None
        self._reason = Reason.INACTIVITY
        return self.DONE

    @READING.on(Event.ACTIVE_TIMEOUT, to=DONE)
    def timed_out_active(self, _: VIO) -> None:
        """End: the active timeout of the VC has passed."""
        self._reason = Reason.ACTIVE

    READING.goes(STOP, DONE)

    def stop(self) -> None:
        """Return the VC to the owner: SourceDone with the reason STOPPED."""
        self.engine.schedule(self, STOP, None)

    @DONE.enter
    def done(self) -> None:
        """Publish the buffered messages, then return the VC to the owner (SourceDone)."""
        self._incoming.lift_turn_limit()
        while self._publish_batch():
            pass
        done = SourceDone(self, self.vc, self._reason, self._error, self.received)
        self.engine.schedule(self._owner, SourceDone, done)

    def finished(self) -> None:
        """Release the buffer and cancel the timer."""
        self._incoming.close()
        self._incoming.vio.retire()
        if self._stall_timer is not None:
            self._stall_timer.cancel()

    # -- inside ------------------------------------------------------------------------------

    def _publish_batch(self) -> bool:
        """Publish a batch of the buffered messages; return whether there may be more."""
        incoming, editor = self._incoming, self._editor
        editor.producer = self.vc
        edit = editor.edit
        encode, reframe = incoming.framing.encode, reframe_with(incoming.framing, incoming.framing)
        messages: list[bytes] = []
        more = True
        try:
            for _ in range(BATCH):
                message = incoming.take()
                if message is None:
                    more = False
                    break
                if isinstance(message, Damaged):
                    self._drop_damaged(message)
                    continue
                self.started = True
                edited = edit(message)
                if edited is not None:
                    wire = reframe(edited) if edited is message else encode(edited)
                    messages.append((wire if type(wire) is bytes else _checked(wire)) or EMPTY)
            packed = editor.pack(messages[:])  # it may change the list, and then fail
            messages = [each if type(each) is bytes else _checked(each) for each in packed]
        except BaseException as mistake:  # raised by the author's edit() or pack()
            error = as_error(mistake)
            what = "edit() or pack() failed; producer closed"
            self.engine.log("error", f"{self.name}: {what}", error)
            incoming.close()
            self._reason, self._error = Reason.ERROR, error
            more = False
        finally:
            editor.producer = None
        if self.vc.closed and self._reason is not Reason.ERROR:
            incoming.close()
            self._reason, self._error = Reason.ERROR, ConnectionAbortedError("closed by edit()")
            more = False
        self._tunnel.publish(messages)
        return more

    def _drop_damaged(self, damaged: Damaged) -> None:
        """Drop a damaged message, and count it."""
        why = f"a damaged message is dropped: {damaged.why}"
        self._editor.log_peer("warning", self.name, why, "damaged")
        self._editor.counts["damaged"] += 1
        note_damaged(self.vc, damaged)

    def _input_ended(self) -> State:
        """Set the reason of the end: no further message will arrive."""
        error = self._incoming.error
        if error is not None:
            self._reason, self._error = Reason.ERROR, error
            return self.DONE
        fault = self._incoming.fault
        ended = fault is None or fault is FramingError.TRUNCATED
        self._reason = Reason.EOS if ended else Reason.FRAMING
        self._error = ValueError(fault.value) if fault is not None else None
        return self.DONE


def _checked(message: object) -> bytes:
    """Return what an author's method has returned. Raises TypeError if it is no message."""
    if isinstance(message, bytes):
        return message
    if isinstance(message, bytearray | memoryview):
        return bytes(message)
    raise TypeError(f"a message must be bytes, not {type(message).__name__}")
