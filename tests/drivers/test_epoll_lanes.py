"""Lanes: what hangs holds up its own kind only, and is replaced; equal names are looked up once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from queue import SimpleQueue

import pytest

from vcproxy.drivers.epoll.lanes import MOST_LOST, NAMES, THREADS, Lane, Lanes, Names
from vcproxy.engine.address import Address
from vcproxy.testing.running import PATIENCE_S, eventually


class Hung:
    """Calls that do not return before they are told to."""

    def __init__(self) -> None:
        self._over = threading.Event()
        self.begun: SimpleQueue[object] = SimpleQueue()

    def __call__(self, what: object = None) -> object:
        self.begun.put(what)
        assert self._over.wait(PATIENCE_S)
        return what

    def let_go(self) -> None:
        """Have all of them return."""
        self._over.set()


@pytest.fixture
def hung() -> Iterator[Hung]:
    hung = Hung()
    yield hung
    hung.let_go()


class Answers:
    """What comes back, in the order in which it comes."""

    def __init__(self) -> None:
        self._answers: SimpleQueue[tuple[object, Exception | None]] = SimpleQueue()

    def __call__(self, value: object, error: Exception | None) -> None:
        self._answers.put((value, error))

    def next(self) -> tuple[object, Exception | None]:
        """The next one."""
        return self._answers.get(timeout=PATIENCE_S)

    @property
    def none(self) -> bool:
        """Whether there is none yet."""
        return self._answers.empty()


def threads(name: str) -> int:
    """How many threads there are of a lane."""
    return sum(thread.name == f"vcproxy {name}" for thread in threading.enumerate())


def test_what_hangs_holds_up_its_own_lane_only(hung: Hung) -> None:
    lanes, answers, stuck = Lanes(), Answers(), Answers()
    for _ in range(THREADS + 1):
        lanes.calls("a").run(hung, (), stuck)
    for number in range(NAMES):
        lanes.names._lane.run(hung, (number,), stuck)
    for _ in range(THREADS + NAMES):
        hung.begun.get(timeout=PATIENCE_S)
    lanes.own.run(lambda: "reloaded", (), answers)
    assert answers.next() == ("reloaded", None)
    lanes.calls("b").run(lambda: "checked", (), answers)
    assert answers.next() == ("checked", None)
    assert stuck.none
    assert lanes.calls("a") is lanes.calls("a")


def test_one_that_was_given_up_is_replaced_and_ends_when_it_returns(hung: Hung) -> None:
    lane, answers, stuck = Lane("replaced"), Answers(), Answers()
    works = [lane.run(hung, (number,), stuck) for number in range(THREADS)]
    for _ in range(THREADS):
        hung.begun.get(timeout=PATIENCE_S)
    lane.run(lambda: "waits", (), answers)
    assert answers.none
    lane.give_up(works[0])
    assert answers.next() == ("waits", None)
    assert threads("replaced") == THREADS + 1
    lane.give_up(works[0])
    assert threads("replaced") == THREADS + 1, "it was given up already"
    hung.let_go()
    values = sorted(str(stuck.next()[0]) for _ in range(THREADS - 1))
    assert values == [str(number) for number in range(1, THREADS)], "no answer of the first"
    lane.run(lambda: "goes on", (), answers)
    assert answers.next() == ("goes on", None)
    eventually(lambda: threads("replaced") == THREADS, "the thread that came back has ended")


def test_as_many_hang_as_may_and_then_the_next_one_waits(hung: Hung) -> None:
    lane, answers, stuck = Lane("bounded"), Answers(), Answers()
    for number in range(2 * MOST_LOST):
        work = lane.run(hung, (number,), stuck)
        if number < MOST_LOST + THREADS:
            hung.begun.get(timeout=PATIENCE_S)
        lane.give_up(work)
    assert threads("bounded") == MOST_LOST + THREADS
    work = lane.run(lambda: "never", (), answers)
    lane.give_up(work)
    last = lane.run(lambda: "waits", (), answers)
    assert hung.begun.empty(), "what was given up before it began is not done"
    hung.let_go()
    assert answers.next() == ("waits", None)
    lane.give_up(last)
    assert stuck.none


@pytest.mark.parametrize(
    ("raised", "text"),
    [
        (ValueError("no"), "no"),
        (SystemExit(3), "sys.exit() (3) in a plugin ends its conversation, not the program"),
        *(
            (kind(), f"{kind.__name__} in a plugin ends its conversation, not the program")
            for kind in (KeyboardInterrupt, asyncio.CancelledError, GeneratorExit)
        ),
    ],
)
def test_whatever_is_raised_is_the_answer_and_the_thread_goes_on(
    raised: BaseException, text: str
) -> None:
    lane, answers = Lane(type(raised).__name__), Answers()

    def fail() -> None:
        raise raised

    for _ in range(2 * THREADS):
        lane.run(fail, (), answers)
    for _ in range(2 * THREADS):
        value, error = answers.next()
        assert (value, str(error)) == (None, text)
        assert isinstance(error, Exception)
    assert threads(type(raised).__name__) <= THREADS


class Found:
    """The addresses that come back to each who asked."""

    def __init__(self) -> None:
        self.names: SimpleQueue[tuple[str, list[str], str]] = SimpleQueue()

    def by(self, who: str) -> Callable[[list[Address], Exception | None], None]:
        """What one who asks is called by."""

        def answer(addresses: list[Address], error: Exception | None) -> None:
            self.names.put((who, list(map(str, addresses)), str(error or "")))

        return answer

    def next(self) -> tuple[str, list[str], str]:
        """The next answer."""
        return self.names.get(timeout=PATIENCE_S)


def test_equal_names_are_looked_up_once_and_each_gets_its_own_ports(hung: Hung) -> None:
    found = Found()
    names = Names(lambda host: [f"{hung(host)}.1", f"{host}.2"])
    for number in range(100):
        address = Address.parse(f"tcp://app:{number + 1}")
        names.look_up(address, found.by(str(number)))
    names.look_up(Address.parse("tcp://db:1"), found.by("db"))
    assert {hung.begun.get(timeout=PATIENCE_S) for _ in range(2)} == {"app", "db"}
    assert hung.begun.empty()
    hung.let_go()
    answers = {who: addresses for who, addresses, _ in (found.next() for _ in range(101))}
    assert answers["db"] == ["tcp://db.1:1", "tcp://db.2:1"]
    assert answers["7"] == ["tcp://app.1:8", "tcp://app.2:8"]
    assert len(answers) == 101
    names.look_up(Address.parse("tcp://app:1"), found.by("later"))
    assert hung.begun.get(timeout=PATIENCE_S) == "app", "an answer is not kept"


def test_a_look_up_is_given_up_with_the_last_who_waits(hung: Hung) -> None:
    found = Found()
    names = Names(lambda host: [str(hung(host))])
    address = Address.parse("tcp://app:1")
    first, second = (names.look_up(address, found.by(who)) for who in ("first", "second"))
    assert hung.begun.get(timeout=PATIENCE_S) == "app"
    names.give_up(first)
    third = names.look_up(address, found.by("third"))
    names.give_up(second)
    names.give_up(second)
    assert hung.begun.empty()
    names.give_up(third)
    names.look_up(address, found.by("fourth"))
    assert hung.begun.get(timeout=PATIENCE_S) == "app", "nobody waits for the one that hangs"
    hung.let_go()
    assert found.next() == ("fourth", ["tcp://app:1"], "")
    assert found.names.empty()


def test_a_name_that_does_not_exist_is_told_to_all() -> None:
    found = Found()
    gate = threading.Event()

    def resolve(host: str) -> list[str]:
        assert gate.wait(PATIENCE_S)
        raise OSError(f"cannot resolve {host}: name or service not known")

    names = Names(resolve)
    for who in "ab":
        names.look_up(Address.parse("tcp://app:1"), found.by(who))
    gate.set()
    told = sorted(found.next() for _ in range(2))
    assert told == [(who, [], "cannot resolve app: name or service not known") for who in "ab"]
