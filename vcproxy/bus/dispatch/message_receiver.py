"""MessageReceiver: passes the bus messages of a process to the @on_message methods of an object.

Programs, sessions and machine processes have one where their class declares such methods. Other
continuations make one themselves: `MessageReceiver(self, "doors")`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import partial

from vcproxy.bus.dispatch.dispatcher import Dispatcher
from vcproxy.bus.dispatch.on_message import message_methods
from vcproxy.bus.dispatch.received_message import ReceivedMessage
from vcproxy.bus.message.bus_message import BusMessage
from vcproxy.engine.bus_messages import BusMessages, BusReceived
from vcproxy.engine.continuation import Continuation
from vcproxy.machine.machine import Machine


class MessageReceiver(Continuation):
    """The messages of one object, under its mutex, from its creation to `close()`.

    An exception in a method ends the object's conversation, as in its other callbacks.
    """

    def __init__(self, owner: Continuation, name: str) -> None:
        """Open the source `name`. The owner's mutex is held. Raises LockNotHeld."""
        super().__init__(owner.engine, owner.mutex)
        self.owner = owner
        self.dispatcher = Dispatcher("", log=owner.engine.log)
        for method_name, method in message_methods(type(owner)).items():
            for pattern in method.patterns:
                callback = partial(self.receive, getattr(owner, method_name))
                self.dispatcher.add(pattern, callback, priority=method.priority)
        commands = tuple(self.dispatcher.commands())
        self.source = BusMessages(self, name, commands, self.dispatcher.takes)

    def __repr__(self) -> str:
        return repr(self.owner)

    def handle_event(self, key: Hashable, data: object) -> None:
        """Dispatch a message."""
        assert isinstance(data, BusReceived)
        reply = partial(self._reply, data.route)
        self.dispatcher.dispatch(ReceivedMessage(BusMessage.parse(data.text), reply))

    def receive(self, method: Callable[[ReceivedMessage], None], received: ReceivedMessage) -> None:
        """Call a method of the owner. To be overridden."""
        owner = self.owner
        if isinstance(owner, Machine):
            owner.remember((owner.state, received.command, received.name or "BUS"))
        method(received)

    def close(self) -> None:
        """Close the source. May be repeated."""
        self.source.close()

    def crashed(self, error: Exception) -> str:
        """Return the owner's text."""
        return self.owner.crashed(error)

    def _reply(self, route: int, message: BusMessage) -> None:
        self.source.reply(route, message.to_text())
