"""What was changed at run time is changed in workers that are started later, too."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from vcproxy.workers.kept_changes import KeptChanges
from vcproxy.workers.messages import Message, Verb


class Kept:
    """The changes of a master with two workers, and what it does with them."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.changes = KeptChanges(
            self.ask, self.send, lambda: (1, 2), self.drained, self.done.append
        )

    def ask(self, workers: Iterable[int], message: Message, then: Callable[[Any], None]) -> None:
        self.done.append(f"{list(workers)} {message.name} {message.text}")

    def send(self, worker: int, message: Message) -> None:
        assert message.verb is Verb.LOG_LEVEL
        self.done.append(f"{worker} {message.text}")

    def drained(self, listener: str) -> None:
        self.done.append(f"close {listener}")

    def made(self, change: str, text: str, /, **arguments: str) -> None:
        self.changes.made(change, arguments, text)

    def started(self, worker: int) -> list[str]:
        """Return what is done when a new process of a worker serves."""
        self.done.clear()
        self.changes.started(worker)
        self.changes.serves(worker)
        done = list(self.done)
        self.changes.serves(worker)
        assert self.done == done, "it is changed again"
        return done


def test_a_new_process_gets_the_last_change_of_each_server() -> None:
    kept = Kept()
    assert kept.started(1) == []
    kept.made("SERVER", "one", name="a", state="drain")
    kept.made("SERVER", "two", name="b", state="drain")
    kept.made("SERVER", "three", name="a", weight="5")
    kept.made("SERVER", "four", name="a", state="ready")
    kept.made("KILL", "five", conn="0-1")
    assert kept.started(2) == ["[2] SERVER two", "[2] SERVER three", "[2] SERVER four"]


def test_what_is_drained_stays_so_until_a_reload() -> None:
    kept = Kept()
    kept.made("DRAIN", "one", listener="web")
    assert kept.done == ["close web"]
    assert kept.started(1) == ["[1] DRAIN one"]
    kept.changes.reloaded()
    assert kept.started(1) == []


def test_the_log_level_of_all_processes() -> None:
    kept = Kept()
    kept.changes.set_log_level("debug")
    assert kept.done == ["debug", "1 debug", "2 debug"]
    assert kept.started(2) == ["2 debug"]
