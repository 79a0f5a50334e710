"""Producer: finds the messages in one stream that comes to a relay, and passes on whole ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tunnels.done import Reason, Room, SourceDone
from vcproxy.business.decoding import Fault
from vcproxy.business.stream import Incoming
from vcproxy.engine.event import Event
from vcproxy.machine.machine import Machine
from vcproxy.machine.state import State

if TYPE_CHECKING:
    from vcproxy.business.framing import Framing
    from vcproxy.business.relay import Relay
    from vcproxy.engine.net import NetVConnection
    from vcproxy.engine.vio import VIO

STOP = "STOP"
"""Tag: give the VC back."""


class Producer(Machine):
    """Reads a VC that it is lent, and says its messages to the relay while that has room.

    SourceDone gives the VC back to the relay: when it has ended, when no message can be found any
    more (ERROR, with a ValueError), or when it is stopped. Half a message goes to nobody.
    """

    __slots__ = ("_error", "_incoming", "_reason", "_relay", "vc")

    READING = State(initial=True)
    DONE = State(final=True)

    def __init__(self, relay: Relay, vc: NetVConnection, framing: Framing) -> None:
        super().__init__(relay.engine, relay.mutex, name=vc.name)
        self.vc = vc
        self._relay = relay
        self._incoming = Incoming(self, vc, framing)
        self._reason = Reason.STOPPED
        self._error: Exception | None = None

    @property
    def taken(self) -> int:
        """Bytes that it has read."""
        return self._incoming.vio.ndone

    @READING.on(Event.READ_READY, Event.EOS, Room, to=(DONE,))
    def came(self, _: VIO | Room) -> State | None:
        """Pass on what has come, as far as there is room."""
        incoming, relay = self._incoming, self._relay
        encode = incoming.framing.encode
        while not relay.tunnel.full:
            message = incoming.take()
            if message is None:
                return self._stopped() if incoming.stopped else None
            messages = []
            while message is not None:
                try:
                    edited = relay.edit(message)
                    if edited is not None:
                        messages.append(encode(edited))
                except Exception as mistake:  # an author's: this producer is not to be trusted
                    return self._mistaken(mistake)
                message = incoming.take()
            relay.tunnel.say(messages)
        return None

    @READING.on(Event.ERROR, to=DONE)
    def failed(self, vio: VIO) -> None:
        """The connection has broken."""
        self._reason, self._error = Reason.ERROR, vio.error

    @READING.on(Event.INACTIVITY_TIMEOUT, to=DONE)
    def idled(self, _: VIO) -> None:
        """Nothing has come for too long."""
        self._reason = Reason.INACTIVITY

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
        """Give it back."""
        self._incoming.close()
        self._incoming.vio.retire()
        done = SourceDone(self, self.vc, self._reason, self._error, self.taken)
        self.engine.schedule(self._relay, SourceDone, done)

    # -- inside ------------------------------------------------------------------------------

    def _stopped(self) -> State:
        """No message will come any more."""
        fault = self._incoming.fault
        ended = fault is None or fault is Fault.HALF
        self._reason = Reason.EOS if ended else Reason.ERROR
        self._error = ValueError(fault.value) if fault is not None else None
        return self.DONE

    def _mistaken(self, mistake: Exception) -> State:
        self.engine.log("error", f"{self.name}: edit() failed; it is closed", mistake)
        self._reason, self._error = Reason.ERROR, mistake
        return self.DONE
