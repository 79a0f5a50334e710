"""ReplyDirection: the direction to a client whose answers come from several servers.

    TALKING --the choice is over--> ENDING --the client has all--> DONE
        +---- the primary or the client failed, no answer -----------^

It reads the primary; mirrors bring what they hear. What the choice gives goes to the client. While
the client does not read, or a server is too far ahead of the others, that server is not heard.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vcproxy.engine.event import Event
from vcproxy.engine.vconnection import Shutdown
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
    from vcproxy.mirror.target import MirrorTarget

HEARD, LATE, STOP = "HEARD", "LATE", "STOP"
"""Tags: mirrors have answered or left, the oldest answer has waited too long, end now."""


class ReplyDirection(Machine):
    """A Way from the primary and the mirrors to the client: see Way, and OneWayTunnel."""

    __slots__ = (
        "_alarm",
        "_choice",
        "_client",
        "_framing",
        "_heard",
        "_incoming",
        "_mirrors",
        "_outgoing",
        "_owner",
        "_primary",
        "_reason",
        "_stall_timer",
        "_who",
        "error",
    )

    TALKING = State(initial=True)
    ENDING = State()
    DONE = State(final=True)

    def __init__(
        self,
        owner: Continuation,
        primary: VConnection,
        client: VConnection,
        choice: Choice,
        framing: Framing,
        mirrors: Sequence[MirrorTarget],
        *,
        name: str = "",
    ) -> None:
        super().__init__(owner.engine, owner.mutex, name=name)
        self._owner = owner
        self._primary, self._client = primary, client
        self._choice = choice
        self._framing = framing
        self._mirrors = mirrors
        self._alarm: Action | None = None
        self._stall_timer: StallTimer | None = None
        self._heard = False
        self._reason, self._who = Reason.STOPPED, self.name
        self.error: Exception | None = None
        self._incoming = InputStream(self, primary, framing)
        self._outgoing = OutputStream(self, client)

    # -- what mirrors say --------------------------------------------------------------------

    def takes(self, who: int) -> bool:
        """Whether there is room for what a server answers. If not, it is asked to `hear` later."""
        return not (self._choice.full(who) or self._outgoing.full)

    def heard(self, who: int, answer: bytes) -> None:
        """Take what a mirror answers."""
        self._choice.heard(who, answer, self.engine.now)
        self._soon()

    def left(self, who: int, error: Exception | None) -> None:
        """A mirror answers nothing more."""
        try:
            self._choice.left(who, error)
        except ConnectionError as failure:
            self.error = failure
        self._soon()

    def _soon(self) -> None:
        if not self._heard:
            self._heard = True
            self.engine.schedule(self, HEARD, None)

    # -- moving ------------------------------------------------------------------------------

    @TALKING.on(Event.READ_READY, Event.WRITE_READY, Event.EOS, HEARD, LATE, to=(ENDING, DONE))
    def moved(self, _: object) -> State | None:
        """Take what has come, and give what can be given."""
        self._heard = True  # what mirrors bring meanwhile is looked at here
        try:
            self._hear()
            while self._say():
                self._hear()
            if self.error is not None:
                raise self.error
        except ConnectionError as error:
            self._break(error, self.name)
            return self.ENDING
        self._heard = False
        if self._choice.over:
            self._reason, self._who = Reason.EOS, self._primary.name
            return self.ENDING
        self._watch_the_clock()
        return None

    def _hear(self) -> None:
        """Hear all servers, as far as there is room."""
        incoming = self._incoming
        while self.takes(0):
            answer = incoming.take()
            if answer is None:
                if incoming.stopped:
                    self._hear_no_more()
                break
            for mirror in self._mirrors:
                mirror.expect(answer)
            self._choice.heard(0, answer, self.engine.now)
        for mirror in self._mirrors:
            mirror.hear()

    def _break(self, error: Exception, who: str) -> None:
        """Nothing more is answered; what was decided still goes to the client."""
        self.error = error
        self._reason, self._who = Reason.ERROR, who
        self._stall_timer = StallTimer(self, FLUSH_S, lambda: self._outgoing.vio.ndone)

    ENDING.goes(STALLED, DONE)

    def _hear_no_more(self) -> None:
        """The primary has said all, if its last answer was whole."""
        error = self._incoming.error
        if error is not None:
            raise ConnectionError(f"{self._primary.name}: {error}")
        fault = self._incoming.fault
        if fault is not None:
            raise ConnectionError(f"{self._primary.name}: {fault.value}")
        self._choice.left(0, None)

    def _say(self) -> bool:
        """Give the client what has been decided: whether there was anything."""
        chosen = self._choice.take(self.engine.now)
        for answer in chosen:
            self._outgoing.send(self._framing.encode(answer))
        return bool(chosen)

    def _watch_the_clock(self) -> None:
        """Look again when somebody is late."""
        due = self._choice.due
        if due is not None and (self._alarm is None or not self._alarm.pending):
            self._alarm = self.engine.schedule_at(due, self, LATE, None)

    # -- ends --------------------------------------------------------------------------------

    @ENDING.enter
    def ending(self) -> None:
        """Nothing will follow what has been said."""
        self._outgoing.finish()

    @ENDING.on(Event.WRITE_COMPLETE, to=DONE)
    def told_all(self, _: VIO) -> None:
        """The client has all."""
        if self._reason is Reason.EOS:
            self._client.do_io_shutdown(Shutdown.WRITE)

    @ENDING.on(Event.READ_READY, Event.WRITE_READY, Event.EOS, HEARD, LATE)
    def too_late(self, _: object) -> None:
        """It has been decided."""

    @TALKING.on(Event.ERROR, to=(ENDING, DONE))
    def failed(self, vio: VIO) -> State | None:
        """The primary has broken, and what it had answered before comes first; or the client."""
        if vio is self._incoming.vio:
            return None if self._incoming.read_rest() else self.moved(vio)
        self.error = vio.error
        self._reason, self._who = Reason.ERROR, vio.vc.name
        return self.DONE

    @ENDING.on(Event.ERROR, to=(DONE,))
    def failed_at_the_end(self, vio: VIO) -> State | None:
        """The client has broken; what a server does does not matter any more."""
        if vio is self._incoming.vio:
            return None
        self.error = self.error or vio.error
        self._reason, self._who = Reason.ERROR, vio.vc.name
        return self.DONE

    @TALKING.on(Event.INACTIVITY_TIMEOUT, to=DONE)
    @ENDING.on(Event.INACTIVITY_TIMEOUT, to=DONE)
    def idled(self, vio: VIO) -> None:
        """Nothing has moved for too long."""
        self._reason, self._who = Reason.INACTIVITY, vio.vc.name

    @TALKING.on(Event.ACTIVE_TIMEOUT, to=DONE)
    @ENDING.on(Event.ACTIVE_TIMEOUT, to=DONE)
    def outlived(self, vio: VIO) -> None:
        """It has lasted too long."""
        self._reason, self._who = Reason.ACTIVE, vio.vc.name

    @TALKING.on(STOP, to=DONE)
    @ENDING.on(STOP, to=DONE)
    def stopped(self, _: object) -> None:
        """The owner wants no more of it."""
        self._reason, self._who = Reason.STOPPED, self.name

    @DONE.enter
    def done(self) -> None:
        """Give the VCs back."""
        flow = self.flow
        for alarm in (self._alarm, self._stall_timer):
            if alarm is not None:
                alarm.cancel()
        for way in (self._incoming, self._outgoing):
            way.vio.retire()
            way.close()
        done = TunnelDone(self, self._reason, self._who, self.error, (flow,))
        self.engine.schedule(self._owner, TunnelDone, done)

    # -- for owners --------------------------------------------------------------------------

    @property
    def flow(self) -> Flow:
        """What the primary has said so far, and what the client was told."""
        taken, given = self._incoming.vio.ndone, self._outgoing.vio.ndone
        return Flow(self._primary.name, self._client.name, taken, given)

    def recall(self) -> None:
        """What was decided cannot be told apart from what was not. Raises NotImplementedError."""
        raise NotImplementedError("answers of several servers are not given back")

    def stop(self) -> None:
        """End now: TunnelDone, STOPPED."""
        self.engine.schedule(self, STOP, None)
