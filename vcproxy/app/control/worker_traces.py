"""WorkerTraces: the connections of this worker that its master has traced.

Tested in tests/e2e/test_questions.py.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from vcproxy.app.control.running_proxy import RunningProxy
from vcproxy.control.connection_trace import ConnectionTrace
from vcproxy.workers.messages import Message, Verb

if TYPE_CHECKING:
    from vcproxy.app.server import Proxy
    from vcproxy.workers.channel import Channel


class WorkerTraces:
    """The traces that go on. All methods belong to the first net thread."""

    def __init__(self, proxy: Proxy, channel: Channel) -> None:
        self._proxy = proxy
        self._channel = channel
        self._open: dict[int, ConnectionTrace] = {}

    def start(self, message: Message) -> None:
        """Handle TRACE."""
        number, proxy = message.number, self._proxy
        self._open[number] = ConnectionTrace(
            RunningProxy(proxy),
            message.name,
            partial(self._events, number),
            partial(self._ended, number),
            feed=proxy.soon,
            after=proxy.after,
        )

    def stop(self, message: Message) -> None:
        """Handle END_TRACE."""
        found = self._open.pop(message.number, None)
        if found is not None:
            found.stop()

    def _events(self, number: int, events: Sequence[Mapping[str, Any]]) -> None:
        for at in range(0, len(events) or 1, 64):  # that many fit into a message
            text = json.dumps(events[at : at + 64])
            self._channel.send(Message(Verb.TRACED, text=text, number=number, more=True))

    def _ended(self, number: int, why: str) -> None:
        self._open.pop(number, None)
        self._channel.send(Message(Verb.TRACED, text=why, number=number))
