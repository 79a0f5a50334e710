"""ProcessMessages: passes the messages of the bus to the `on_message` methods of a Process.

Tested in tests/supervise/test_process_messages.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vcproxy.bus.dispatch.message_receiver import MessageReceiver

if TYPE_CHECKING:
    from vcproxy.bus.dispatch.dispatcher import Callback
    from vcproxy.bus.dispatch.received_message import ReceivedMessage
    from vcproxy.supervise.process import Process


class ProcessMessages(MessageReceiver):
    """The messages of a process, while it runs. An exception in a method ends the process."""

    owner: Process

    def __init__(self, process: Process) -> None:
        """Open the source, which has the name of the process."""
        super().__init__(process, process.name)

    def call(self, method: Callback, received: ReceivedMessage) -> None:
        """See MessageReceiver. A process that is to end receives no more."""
        process = self.owner
        if not process.ending:
            process.attempt_call(super().call, method, received)
