"""StagedMessages: passes the messages of the bus to the `on_message` methods of a StagedProgram.

Tested in tests/sessions/test_messages.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vcproxy.bus.dispatch.message_receiver import MessageReceiver

if TYPE_CHECKING:
    from vcproxy.bus.dispatch.dispatcher import Callback
    from vcproxy.bus.dispatch.received_message import ReceivedMessage
    from vcproxy.sessions.staged_program import StagedProgram


class StagedMessages(MessageReceiver):
    """The messages of a staged program. What its methods send to machines is delivered at once."""

    owner: StagedProgram

    def call(self, method: Callback, received: ReceivedMessage) -> None:
        """See MessageReceiver."""
        method(received)
        self.owner.queue.drain()
