"""ReplyDirection: the direction to a client whose replies are chosen from several servers'.

    CHOOSING --the choice has ended--> ENDING --the client received everything--> DONE
        +---- the client failed, timeout, stop() --------------------------------^

It reads the primary; mirrors pass their replies to it. The chosen replies are sent to the client.
While the client does not read, no server is read; a server too far ahead of the others is not read
either. A failed primary, or a choice without a result, ends the direction with an error.

Tested in tests/mirror/test_mirroring.py and tests/plugins/test_mirror.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vcproxy.engine.event import Event
from vcproxy.engine.vconnection import Shutdown
from vcproxy.framing.decoding import Damaged
from vcproxy.machine.machine import Machine
from vcproxy.machine.state import State
from vcproxy.sessions.streams import InputStream, OutputStream
from vcproxy.tunnels.done import Flow, Reason, TunnelDone
from vcproxy.tunnels.stall_timer import FLUSH_S, STALLED, StallTimer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vcproxy.engine.continuation import Continuation
    from vcproxy.engine.scheduler import Action
    from vcproxy.engine.vconnection import VConnection
    from vcproxy.engine.vio import VIO
    from vcproxy.framing.framing import Framing
    from vcproxy.mirror.choice import Choice
    from vcproxy.mirror.interfaces import MirrorConnection

REPLIED, LATE, STOP = "REPLIED", "LATE", "STOP"
"""Tags: a mirror has replied or ended; the oldest reply has waited too long; end now."""


class ReplyDirection(Machine):
    """A Direction from the primary and the mirrors to the client. See OneWayTunnel."""

    __slots__ = (
        "_choice",
        "_client",
        "_ended_by",
        "_framing",
        "_incoming",
        "_mirrors",
        "_outgoing",
        "_owner",
        "_primary",
        "_reason",
        "_scheduled",
        "_stall_timer",
        "_timer",
        "error",
    )

    CHOOSING = State(initial=True)
    ENDING = State()
    DONE = State(final=True)

    def __init__(
        self,
        owner: Continuation,
        primary: VConnection,
        client: VConnection,
        choice: Choice,
        framing: Framing,
        mirrors: Sequence[MirrorConnection],
        *,
        name: str = "",
    ) -> None:
        super().__init__(owner.engine, owner.mutex, name=name)
        self._owner = owner
        self._primary, self._client = primary, client
        self._choice = choice
        self._framing = framing
        self._mirrors = mirrors
        self._timer: Action | None = None
        self._stall_timer: StallTimer | None = None
        self._scheduled = False
        self._reason, self._ended_by = Reason.STOPPED, self.name
        self.error: Exception | None = None
        self._incoming = InputStream(self, primary, framing)
        self._outgoing = OutputStream(self, client)

    # -- a ReplyReceiver ---------------------------------------------------------------------

    def has_room(self, server: int) -> bool:
        """See ReplyReceiver. After it returned False, `read_replies` of the mirror is called."""
        return not (self._choice.full(server) or self._outgoing.full)

    def add_reply(self, server: int, reply: bytes) -> None:
        """See ReplyReceiver."""
        self._choice.add_reply(server, reply, self.engine.now)
        self._schedule()

    def server_ended(self, server: int, error: Exception | None) -> None:
        """See ReplyReceiver."""
        try:
            self._choice.server_ended(server, error)
        except ConnectionError as failure:
            self.error = failure
        self._schedule()

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self.engine.schedule(self, REPLIED, None)

    # -- moving ------------------------------------------------------------------------------

    @CHOOSING.on(Event.READ_READY, Event.WRITE_READY, Event.EOS, REPLIED, LATE, to=(ENDING, DONE))
    def moved(self, _: object) -> State | None:
        """Read replies, and send those that are chosen."""
        self._scheduled = True  # replies that mirrors add during this call are handled here
        try:
            self._read()
            while self._send():
                self._read()
            if self.error is not None:
                raise self.error
        except ConnectionError as error:
            self._fail(error)
            return self.ENDING
        self._scheduled = False
        if self._choice.over:
            self._reason, self._ended_by = Reason.EOS, self._primary.name
            return self.ENDING
        self._set_timer()
        return None

    def _read(self) -> None:
        """Read replies from all servers, while there is room."""
        incoming = self._incoming
        while self.has_room(0):
            reply = incoming.take()
            if reply is None:
                if incoming.stopped:
                    self._end_primary()
                break
            if isinstance(reply, Damaged):
                raise ConnectionError(f"{self._primary.name}: damaged reply: {reply.why}")
            for mirror in self._mirrors:
                mirror.add_primary_reply(reply)
            self._choice.add_reply(0, reply, self.engine.now)
        for mirror in self._mirrors:
            mirror.read_replies()

    def _fail(self, error: Exception) -> None:
        """Stop choosing after an error. Replies already chosen are still sent to the client."""
        self.error = error
        self._reason, self._ended_by = Reason.ERROR, self.name
        self._stall_timer = StallTimer(self, FLUSH_S, lambda: self._outgoing.vio.ndone)

    ENDING.goes(STALLED, DONE)

    def _end_primary(self) -> None:
        """End the primary's replies. Raises ConnectionError after an error or invalid framing."""
        error = self._incoming.error
        if error is not None:
            raise ConnectionError(f"{self._primary.name}: {error}")
        fault = self._incoming.fault
        if fault is not None:
            raise ConnectionError(f"{self._primary.name}: {fault.value}")
        self._choice.server_ended(0, None)

    def _send(self) -> bool:
        """Send the chosen replies to the client; return whether there were any."""
        chosen = self._choice.take(self.engine.now)
        for reply in chosen:
            self._outgoing.send(self._framing.encode(reply))
        return bool(chosen)

    def _set_timer(self) -> None:
        """Choose again at the deadline of the oldest reply."""
        deadline = self._choice.deadline
        if deadline is not None and (self._timer is None or not self._timer.pending):
            self._timer = self.engine.schedule_at(deadline, self, LATE, None)

    # -- ends --------------------------------------------------------------------------------

    @ENDING.enter
    def ending(self) -> None:
        """Send the replies already chosen, then end."""
        self._outgoing.finish()

    @ENDING.on(Event.WRITE_COMPLETE, to=DONE)
    def all_sent(self, _: VIO) -> None:
        """Half-close to the client after an orderly end: everything was sent."""
        if self._reason is Reason.EOS:
            self._client.do_io_shutdown(Shutdown.WRITE)

    @ENDING.on(Event.READ_READY, Event.WRITE_READY, Event.EOS, REPLIED, LATE)
    def ignored(self, _: object) -> None:
        """Ignore the event: no more replies are chosen."""

    @CHOOSING.on(Event.ERROR, to=(ENDING, DONE))
    def failed(self, vio: VIO) -> State | None:
        """If the primary failed, first read what it sent before. If the client failed, end."""
        if vio is self._incoming.vio:
            return None if self._incoming.read_rest() else self.moved(vio)
        self.error = vio.error
        self._reason, self._ended_by = Reason.ERROR, vio.vc.name
        return self.DONE

    @ENDING.on(Event.ERROR, to=(DONE,))
    def failed_at_the_end(self, vio: VIO) -> State | None:
        """If the client failed, end. Ignore an error of the primary."""
        if vio is self._incoming.vio:
            return None
        self.error = self.error or vio.error
        self._reason, self._ended_by = Reason.ERROR, vio.vc.name
        return self.DONE

    @CHOOSING.on(Event.INACTIVITY_TIMEOUT, to=DONE)
    @ENDING.on(Event.INACTIVITY_TIMEOUT, to=DONE)
    def inactive(self, vio: VIO) -> None:
        """End: no byte was moved within the inactivity timeout."""
        self._reason, self._ended_by = Reason.INACTIVITY, vio.vc.name

    @CHOOSING.on(Event.ACTIVE_TIMEOUT, to=DONE)
    @ENDING.on(Event.ACTIVE_TIMEOUT, to=DONE)
    def expired(self, vio: VIO) -> None:
        """End: the active timeout of a connection has passed."""
        self._reason, self._ended_by = Reason.ACTIVE, vio.vc.name

    @CHOOSING.on(STOP, to=DONE)
    @ENDING.on(STOP, to=DONE)
    def stopped(self, _: object) -> None:
        """End: the owner called stop()."""
        self._reason, self._ended_by = Reason.STOPPED, self.name

    @DONE.enter
    def done(self) -> None:
        """Return the VCs to the owner (TunnelDone)."""
        flow = self.flow
        for timer in (self._timer, self._stall_timer):
            if timer is not None:
                timer.cancel()
        for way in (self._incoming, self._outgoing):
            way.vio.retire()
            way.close()
        done = TunnelDone(self, self._reason, self._ended_by, self.error, (flow,))
        self.engine.schedule(self._owner, TunnelDone, done)

    # -- for owners --------------------------------------------------------------------------

    @property
    def flow(self) -> Flow:
        """Bytes read from the primary and sent to the client so far."""
        received, sent = self._incoming.vio.ndone, self._outgoing.vio.ndone
        return Flow(self._primary.name, self._client.name, received, sent)

    def recall(self) -> None:
        """Raise NotImplementedError: replies of several servers may be read and not sent yet."""
        raise NotImplementedError("a direction with replies of several servers cannot be recalled")

    def stop(self) -> None:
        """End now. The owner gets TunnelDone with the reason STOPPED."""
        self.engine.schedule(self, STOP, None)
