"""Producer: finds the messages in one stream that comes to a relay, and passes on whole ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vcproxy.engine.event import Event
from vcproxy.engine.iobuffer import EMPTY
from vcproxy.engine.plugin_error import as_error
from vcproxy.framing.decoding import FramingError
from vcproxy.machine.machine import Machine
from vcproxy.machine.state import State
from vcproxy.sessions.streams import InputStream
from vcproxy.tunnels.done import Reason, SourceDone, TunnelRoom
from vcproxy.tunnels.stall_timer import FLUSH_S, STALLED, StallTimer

if TYPE_CHECKING:
    from vcproxy.engine.net import NetVConnection
    from vcproxy.engine.vio import VIO
    from vcproxy.framing.framing import Framing
    from vcproxy.relay.relay import Relay

BATCH = 256
"""Messages said before it is asked again whether there is room: a millisecond's work."""

STOP = "STOP"
"""Tag: give the VC back."""


class Producer(Machine):
    """Reads a VC that it is lent, and says its messages to the relay while that has room.

    SourceDone gives the VC back to the relay: when it has ended, when no message can be found any
    more (GARBLED, with a ValueError), or when it is stopped. What has been read of it goes on
    before that, but half a message goes to nobody.
    """

    __slots__ = ("_error", "_incoming", "_reason", "_relay", "_stall_timer", "spoken", "vc")

    READING = State(initial=True)
    DONE = State(final=True)

    def __init__(self, relay: Relay, vc: NetVConnection, framing: Framing) -> None:
        super().__init__(relay.engine, relay.mutex, name=vc.name)
        self.vc = vc
        self.spoken = False
        """Whether a whole message has come."""
        self._relay = relay
        self._incoming = InputStream(self, vc, framing, turn_limit=4 * BATCH)
        self._stall_timer: StallTimer | None = None
        self._reason = Reason.STOPPED
        self._error: Exception | None = None

    @property
    def taken(self) -> int:
        """Bytes that it has read."""
        return self._incoming.vio.ndone

    @READING.on(Event.READ_READY, Event.EOS, TunnelRoom, to=(DONE,))
    def came(self, _: VIO | TunnelRoom) -> State | None:
        """Pass on what has come, as far as there is room."""
        while not self._relay.tunnel.full:
            more = self._pass_on()
            if self._reason is Reason.ERROR:
                return self.DONE
            if not more:
                return self._stopped() if self._incoming.stopped else None
        return None

    @READING.on(Event.ERROR, to=(DONE,))
    def failed(self, vio: VIO) -> State | None:
        """The connection has broken; what had come before goes on, as long as there is room."""
        if not self._incoming.read_rest():
            return self._stopped()
        if self._stall_timer is None:
            self._stall_timer = StallTimer(self, FLUSH_S, lambda: self.taken)
        return None

    @READING.on(STALLED, to=DONE)
    def stalled(self, _: object) -> None:
        """There should have been room for more of it."""
        self._reason, self._error = Reason.ERROR, self.vc.error

    @READING.on(Event.INACTIVITY_TIMEOUT, to=(DONE,))
    def idled(self, _: VIO) -> State | None:
        """Nothing has come for too long; unless it may not speak, for there is no room."""
        if self._relay.tunnel.held_up:
            self.vc.set_inactivity_timeout(self._relay.service.inactivity_s)
            return None
        self._reason = Reason.INACTIVITY
        return self.DONE

    @READING.on(Event.ACTIVE_TIMEOUT, to=DONE)
    def outlived(self, _: VIO) -> None:
        """It has lasted too long."""
        self._reason = Reason.ACTIVE

    READING.goes(STOP, DONE)

    def stop(self) -> None:
        """Give the VC back: SourceDone, STOPPED."""
        self.engine.schedule(self, STOP, None)

    @DONE.enter
    def done(self) -> None:
        """Give it back, when all that has been read is said."""
        self._incoming.lift_turn_limit()
        while self._pass_on():
            pass
        done = SourceDone(self, self.vc, self._reason, self._error, self.taken)
        self.engine.schedule(self._relay, SourceDone, done)

    def finished(self) -> None:
        """Nothing is kept."""
        self._incoming.close()
        self._incoming.vio.retire()
        if self._stall_timer is not None:
            self._stall_timer.cancel()

    # -- inside ------------------------------------------------------------------------------

    def _pass_on(self) -> bool:
        """Say a batch of what has been read and is whole; False: that was the last of it."""
        incoming, relay = self._incoming, self._relay
        encode = incoming.framing.encode
        messages = []
        more = True
        try:
            for _ in range(BATCH):
                message = incoming.take()
                if message is None:
                    more = False
                    break
                self.spoken = True
                edited = relay.edit(message)
                if edited is not None:
                    messages.append(encode(edited) or EMPTY)
        except BaseException as mistake:  # an author's: this producer is not to be trusted
            error = as_error(mistake)
            self.engine.log("error", f"{self.name}: edit() failed; it is closed", error)
            incoming.close()
            self._reason, self._error = Reason.ERROR, error
            more = False
        relay.tunnel.say(messages)
        return more

    def _stopped(self) -> State:
        """No message will come any more."""
        error = self._incoming.error
        if error is not None:
            self._reason, self._error = Reason.ERROR, error
            return self.DONE
        fault = self._incoming.fault
        ended = fault is None or fault is FramingError.TRUNCATED
        self._reason = Reason.EOS if ended else Reason.GARBLED
        self._error = ValueError(fault.value) if fault is not None else None
        return self.DONE
