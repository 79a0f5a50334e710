"""SessionMessages: passes the messages of the bus to all sessions of a listener on one engine.

So a session costs nothing for its `on_message` methods, and their commands are known while no
client is connected.

Tested in tests/sessions/test_messages.py.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from vcproxy.bus.dispatch.message_receiver import MessageReceiver
from vcproxy.bus.dispatch.on_message import declarations
from vcproxy.engine.continuation import Continuation, OwnedCall
from vcproxy.engine.mutex import Mutex
from vcproxy.engine.sources.bus_messages import BusReceived
from vcproxy.sessions.session import Session

if TYPE_CHECKING:
    from vcproxy.bus.dispatch.dispatcher import Callback
    from vcproxy.bus.dispatch.received_message import ReceivedMessage
    from vcproxy.engine.engine import Engine


class SessionMessages(Continuation):
    """The messages of the sessions of one listener, from `start` to `stop`."""

    def __init__(self, engine: Engine, name: str, session: type[Session]) -> None:
        """`name`: that of the listener. `session`: the class of its new sessions."""
        super().__init__(engine, Mutex())
        self.name = name
        self.session = session
        self.declared = declarations(session)
        """What the class declares: a reload that does not change it keeps this object."""
        self._receiver: MessageReceiver | None = None

    def __repr__(self) -> str:
        return f"<SessionMessages of {self.name}>"

    def start(self) -> None:
        """Open the source. The mutex is held."""
        self._receiver = _ToAllSessions(self, self.name)

    def stop(self) -> None:
        """Close the source. The mutex is held."""
        if self._receiver is not None:
            self._receiver.close()


class _ToAllSessions(MessageReceiver):
    """Calls a method of each session, as an event of that session."""

    owner: SessionMessages

    @property
    def declaring(self) -> type:
        """See MessageReceiver."""
        return self.owner.session

    def callback_of(self, name: str) -> Callback:
        """See MessageReceiver."""
        return partial(self.call_all, name)

    def call_all(self, name: str, received: ReceivedMessage) -> None:
        """Queue a call for each session. One of an older configuration may not have the method."""
        for vc in self.engine.vcs:
            session = vc.session
            if isinstance(session, Session) and session.service.name == self.owner.name:
                method = getattr(session, name, None)
                if callable(method):
                    call = partial(_call, session, method, received)
                    self.engine.schedule(OwnedCall(session, call), BusReceived, None)


def _call(session: Session, method: Callback, received: ReceivedMessage) -> None:
    """Call a method of a session that has not ended."""
    if not session.state.final:
        session.remember((session.state, received.command, received.name or "BUS"))
        method(received)
