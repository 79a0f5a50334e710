"""ControlledProxy: a proxy in this process, as the commands of its control act on it.

Tested in tests/e2e/test_control.py.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from signal import SIGTERM
from time import monotonic
from typing import TYPE_CHECKING

from vcproxy.sessions.program import Signal

if TYPE_CHECKING:
    from vcproxy.app.control.control_thread import ControlThread
    from vcproxy.app.server import Proxy
    from vcproxy.control.changes.change import Changed
    from vcproxy.control.connection_trace import Events
    from vcproxy.control.controlled import Result
    from vcproxy.control.questions.answer import Answer
    from vcproxy.engine.log_function import Level


class ControlledProxy:
    """See Controlled."""

    has_workers = False

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self._started_at = monotonic()
        self._thread: ControlThread

    def begin(self, thread: ControlThread) -> None:
        """See ControlledProcess."""
        self._thread = thread

    def stop(self) -> None:
        """See Controlled."""
        self._proxy.soon(partial(self._proxy.end, Signal(SIGTERM, os.getpid())))

    def stop_at_once(self) -> None:
        """See Controlled."""
        self.stop()
        self.stop()

    def reload(self, then: Result) -> None:
        """See Controlled."""
        self._proxy.soon(partial(self._proxy.reloads.reload, then))

    def restart(self, then: Result) -> None:
        """See Controlled."""
        then("this proxy has no workers")

    def reopen_log(self) -> None:
        """See Controlled."""
        self._proxy.reopen_logs()

    def status(self, then: Callable[[Mapping[str, str | int]], None]) -> None:
        """See Controlled."""
        from vcproxy.app.control.proxy_state import process_state, proxy_state  # seldom asked for

        reloads = self._proxy.reloads
        state = process_state(reloads.configuration, self._started_at, reloads.failure)
        then(state | proxy_state(self._proxy))

    def waited_for(self, then: Callable[[Sequence[str]], None]) -> None:
        """See Controlled."""
        from vcproxy.app.control.proxy_state import collect_waited_for  # seldom asked for

        feed, after = self._thread.feed, self._thread.after
        collect_waited_for(self._proxy, then, feed=feed, after=after)

    def ask(
        self, question: str, arguments: Mapping[str, str], then: Callable[[Answer], None]
    ) -> None:
        """See Controlled."""
        from vcproxy.app.control.running_proxy import RunningProxy  # seldom asked for
        from vcproxy.control.questions.asking import ask

        feed, after = self._thread.feed, self._thread.after
        ask(question, arguments, RunningProxy(self._proxy), then, feed=feed, after=after)

    def change(
        self, name: str, arguments: Mapping[str, str], then: Callable[[Changed], None]
    ) -> None:
        """See Controlled."""
        from vcproxy.app.control.running_proxy import RunningProxy  # seldom needed
        from vcproxy.control.changes.making import make

        feed, after = self._thread.feed, self._thread.after
        make(name, arguments, RunningProxy(self._proxy), then, feed=feed, after=after)

    def trace(self, conn: str, events: Events, ended: Callable[[str], None]) -> Callable[[], None]:
        """See Controlled."""
        from vcproxy.app.control.running_proxy import RunningProxy  # seldom needed
        from vcproxy.control.connection_trace import ConnectionTrace

        feed, after = self._thread.feed, self._thread.after
        running = RunningProxy(self._proxy)
        return ConnectionTrace(running, conn, events, ended, feed=feed, after=after).stop

    def set_log_level(self, level: Level) -> None:
        """See Controlled."""
        self._proxy.log.level = level

    # -- plugins -----------------------------------------------------------------------------

    def usages(self, name: str, then: Callable[[Sequence[str]], None]) -> None:
        """See Controlled."""
        then(self._proxy.bus.usages(name))

    def deliver(
        self, command: str, text: str, name: str, route: int, then: Callable[[int], None]
    ) -> None:
        """See Controlled."""
        then(self._proxy.bus.deliver(command, text, route=route, name=name))

    def on_reply(self, call: Callable[[int, str], None]) -> None:
        """See Controlled."""
        self._proxy.bus.on_reply = call
