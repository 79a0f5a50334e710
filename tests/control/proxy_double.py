"""A proxy as the commands act on it, for tests of doors: it notes what it is told."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from vcproxy.control.changes.change import Changed
from vcproxy.control.connection_trace import Events
from vcproxy.control.controlled import Result
from vcproxy.control.questions.answer import Answer
from vcproxy.engine.log_function import Level


class ProxyDouble:
    """See Controlled. Its answers come at once, but those of `reload` and `restart` on demand."""

    def __init__(self, *, workers: bool = False, plugins: Sequence[str] = ()) -> None:
        self.has_workers = workers
        self.plugins = plugins
        """The commands that its plugins take."""
        self.told: list[str] = []
        self.results: list[Result] = []
        self.delivered: list[tuple[str, str, int]] = []
        """Name, text and route of each message that was passed to the plugins."""
        self.answers: dict[str, Answer] = {}
        """The answers to questions."""
        self.changed = Changed(["it was changed"])
        """The result of changes."""
        self.reply: Callable[[int, str], None] = print

    def stop(self) -> None:
        self.told.append("stop")

    def stop_at_once(self) -> None:
        self.told.append("stop at once")

    def reload(self, then: Result) -> None:
        self.results.append(then)

    def restart(self, then: Result) -> None:
        self.results.append(then)

    def reopen_log(self) -> None:
        self.told.append("reopen log")

    def status(self, then: Callable[[Mapping[str, str | int]], None]) -> None:
        then({"state": "serving", "pid": 7})

    def waited_for(self, then: Callable[[Sequence[str]], None]) -> None:
        then(["net-0: Ticks every for 2.0s", "net-0: connection 127.0.0.1:1 quiet for 0.5s"])

    def ask(
        self, question: str, arguments: Mapping[str, str], then: Callable[[Answer], None]
    ) -> None:
        then(self.answers.get(question, Answer(error=f"there is no question `{question}`")))

    def change(
        self, name: str, arguments: Mapping[str, str], then: Callable[[Changed], None]
    ) -> None:
        self.told.append(f"{name} {dict(arguments)}")
        then(self.changed)

    def trace(self, conn: str, events: Events, ended: Callable[[str], None]) -> Callable[[], None]:
        self.told.append(f"trace {conn}")
        self.traced = events, ended
        return lambda: self.told.append(f"end of trace {conn}")

    def set_log_level(self, level: Level) -> None:
        self.told.append(f"log level {level}")

    def usages(self, name: str, then: Callable[[Sequence[str]], None]) -> None:
        lines = [f"{command}: About {command}." for command in self.plugins]
        then(lines if name in ("", "doors") else ())

    def deliver(
        self, command: str, text: str, name: str, route: int, then: Callable[[int], None]
    ) -> None:
        taken = command in self.plugins and name in ("", "doors")
        if taken:
            self.delivered.append((name, text, route))
        then(int(taken))

    def on_reply(self, call: Callable[[int, str], None]) -> None:
        self.reply = call
