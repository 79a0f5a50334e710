"""Controlled: a running proxy as the commands act on it.

Tested in tests/control/test_commands.py, and with its implementations in tests/e2e/test_control.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    from vcproxy.control.changes.change import Changed
    from vcproxy.control.connection_trace import Events
    from vcproxy.control.questions.answer import Answer
    from vcproxy.engine.log_function import Level

Result: TypeAlias = Callable[[str], None]
"""Called with why a command was not carried out; "": it was."""

NO_ROUTE = 0
"""The route of a message that cannot be answered: see BusMessages."""


class Controlled(Protocol):
    """A proxy in one process, or the master of several workers.

    Doors call the methods in their own thread, and none of them waits. What they are given is
    called once, later or at once, in any thread.
    """

    @property
    def has_workers(self) -> bool:
        """Whether `restart` is possible."""

    def stop(self) -> None:
        """End in order, as after SIGTERM. The second time: at once."""

    def stop_at_once(self) -> None:
        """End at once, as after two SIGTERM."""

    def reload(self, then: Result) -> None:
        """Load the configuration again, for new connections."""

    def restart(self, then: Result) -> None:
        """Replace the workers, one by one."""

    def reopen_log(self) -> None:
        """Reopen the log at its path."""

    def status(self, then: Callable[[Mapping[str, str | int]], None]) -> None:
        """Collect the state of the proxy, as parameters of PROXY_STATUS."""

    def waited_for(self, then: Callable[[Sequence[str]], None]) -> None:
        """Collect what each engine waits for, one line each."""

    def ask(
        self, question: str, arguments: Mapping[str, str], then: Callable[[Answer], None]
    ) -> None:
        """Ask all net threads of all workers one of QUESTIONS; `then` gets what came in time.

        `arguments`: those of the question, "limit", and columns with the value that is wanted; with
        "*" at its end, what it begins with. A net thread may take two seconds.
        """

    def change(
        self, name: str, arguments: Mapping[str, str], then: Callable[[Changed], None]
    ) -> None:
        """Make one of CHANGES in all net threads of all workers."""

    def trace(self, conn: str, events: Events, ended: Callable[[str], None]) -> Callable[[], None]:
        """Trace a connection, by its id: see ConnectionTrace.

        Return what ends the trace; `ended` is then not called. Events may be dropped.
        """

    def set_log_level(self, level: Level) -> None:
        """Write log lines of this level and above."""

    # -- plugins -----------------------------------------------------------------------------

    def usages(self, name: str, then: Callable[[Sequence[str]], None]) -> None:
        """Collect a line about each command and pattern that plugins declare: it comes first.

        `name`: of a listener, or of another source of messages; "": of all.
        """

    def deliver(
        self, command: str, text: str, name: str, route: int, then: Callable[[int], None]
    ) -> None:
        """Pass a message in text form to the plugins that take it; `then` gets how many do.

        `name`: as for `usages`. Replies come to `on_reply` with the route.
        """

    def on_reply(self, call: Callable[[int, str], None]) -> None:
        """Call a function with the route and the text of each reply of a plugin."""
