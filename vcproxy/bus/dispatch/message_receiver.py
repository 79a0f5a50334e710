"""MessageReceiver: passes the bus messages of a process to the @on_message methods of an object.

Programs, sessions and machine processes have one where their class declares such methods. Other
continuations make one themselves: `MessageReceiver(self, "doors")`.
"""

from __future__ import annotations

from collections.abc import Hashable
from functools import partial
from typing import TYPE_CHECKING

from vcproxy.bus.dispatch.dispatcher import Dispatcher
from vcproxy.bus.dispatch.on_message import add_methods
from vcproxy.bus.dispatch.received_message import ReceivedMessage
from vcproxy.bus.message.bus_message import BusMessage
from vcproxy.bus.message.invalid_message import InvalidMessage
from vcproxy.engine.continuation import Continuation
from vcproxy.engine.sources.bus_messages import BusMessages, BusReceived
from vcproxy.machine.machine import Machine
from vcproxy.machine.staged import StageMachine

if TYPE_CHECKING:
    from vcproxy.bus.dispatch.dispatcher import Callback


class MessageReceiver(Continuation):
    """The messages of one object, under its mutex, from its creation to `close()`.

    An exception in a method ends the object's conversation, as in its other callbacks. A machine
    that may end before its conversation closes its receiver in `finished`.
    """

    def __init__(self, owner: Continuation, name: str) -> None:
        """Open the source `name`. The owner's mutex is held. Raises LockNotHeld."""
        super().__init__(owner.engine, owner.mutex)
        self.owner = owner
        self.dispatcher = Dispatcher("", log=owner.engine.log)
        add_methods(self.dispatcher, self.declaring, self.callback_of)
        self.source = BusMessages(self, name, tuple(self.dispatcher.commands()), self.dispatcher)

    def __repr__(self) -> str:
        return repr(self.owner)

    @property
    def declaring(self) -> type:
        """The class that declares the methods. To be overridden."""
        return type(self.owner)

    def callback_of(self, name: str) -> Callback:
        """Return what is called in place of a method. To be overridden."""
        return partial(self.call, getattr(self.owner, name))

    def call(self, method: Callback, received: ReceivedMessage) -> None:
        """Call a method of the owner. To be overridden."""
        owner = self.owner
        if isinstance(owner, Machine):
            owner.remember((owner.state, received.command, received.name or "BUS"))
        method(received)
        if isinstance(owner, StageMachine):
            owner.queue.drain()

    def handle_event(self, key: Hashable, data: object) -> None:
        """Dispatch a message. A machine that has ended receives none: the source is closed."""
        assert isinstance(data, BusReceived)
        if isinstance(self.owner, Machine) and self.owner.state.final:
            self.close()
            return
        try:
            message = BusMessage.parse(data.text)
        except InvalidMessage as error:  # the door has parsed it; redaction may have broken it
            self.engine.log("warning", f"{data.name}: a message of the bus is dropped: {error}")
            return
        self.dispatcher.dispatch(ReceivedMessage(message, partial(self._reply, data.route)))

    def close(self) -> None:
        """Close the source. May be repeated."""
        self.source.close()

    def crashed(self, error: Exception) -> str:
        """Return the owner's text."""
        return self.owner.crashed(error)

    def _reply(self, route: int, message: BusMessage) -> None:
        self.source.reply(route, message.to_text())
