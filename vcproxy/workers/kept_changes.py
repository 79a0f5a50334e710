"""KeptChanges: what operators have changed at run time, for workers that are started later too."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from vcproxy.workers.messages import Message, Question, Verb

if TYPE_CHECKING:
    from vcproxy.engine.log_function import Level


class KeptChanges:
    """The changes since the start. All methods belong to the thread of the master."""

    def __init__(
        self,
        ask: Callable[[Iterable[int], Message, Callable[[Any], None]], None],
        send: Callable[[int, Message], object],
        workers: Callable[[], Iterable[int]],
        drained: Callable[[str], None],
        set_level: Callable[[Level], None],
    ) -> None:
        """`ask` asks workers a question, `send` sends a message to one, `workers` returns those
        that run, `drained` closes the sockets of a listener ("": of all), and `set_level` sets the
        level of the master's own log."""
        self._ask = ask
        self._send = send
        self._workers = workers
        self._drained = drained
        self._set_level = set_level
        self._level: Level = "info"
        self._made: dict[tuple[str, ...], Message] = {}
        self._new: set[int] = set()  # workers that do not serve yet

    def made(self, name: str, arguments: Mapping[str, str], text: str) -> None:
        """One of CHANGES was made in the workers. `text`: its arguments as JSON."""
        if name == "SERVER":
            what = tuple(each for each in ("state", "weight") if each in arguments)
            key = name, arguments.get("name", ""), *what
        elif name == "DRAIN":
            key = name, arguments.get("listener", "")
            self._drained(key[1])
        else:
            return
        self._made.pop(key, None)  # it is the last now
        self._made[key] = Message(Verb.ASK, question=Question.CHANGE, name=name, text=text)

    def set_log_level(self, level: Level) -> None:
        """Write log lines of this level and above, in all processes."""
        self._level = level
        self._set_level(level)
        for number in self._workers():
            self._send(number, Message(Verb.LOG_LEVEL, text=level))

    def started(self, worker: int) -> None:
        """A process of a worker was started: what was changed is to be changed in it too."""
        self._new.add(worker)

    def serves(self, worker: int) -> None:
        """A worker uses its configuration, perhaps for the first time."""
        if worker in self._new:
            self._new.remove(worker)
            if self._level != "info":
                self._send(worker, Message(Verb.LOG_LEVEL, text=self._level))
            for message in self._made.values():
                self._ask((worker,), message, lambda answers: None)

    def reloaded(self) -> None:
        """All workers use another configuration: what was drained is bound again."""
        self._made = {key: each for key, each in self._made.items() if key[0] != "DRAIN"}
