"""Lanes: work that would block runs on threads, and each kind of work has threads of its own.

Names, the calls of each listener's plugin, and the proxy's own work (a reload) wait for others, not
for the processor. What hangs in one lane holds up nothing in another.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from vcproxy.drivers.epoll.resolving import resolve
from vcproxy.engine.plugin_error import as_error

if TYPE_CHECKING:
    from vcproxy.engine.address import Address

THREADS = 8
"""Of a lane: more would only queue at whoever is asked."""

NAMES = 32
"""Threads for names: each asks servers of its own, and some of them do not answer for long."""

MOST_LOST = 24
"""Threads of a lane that are replaced at most while they still hang. With more, the next one waits
until one comes back, or for its deadline."""

Answer = Callable[[object, Exception | None], None]


@dataclass(slots=True, eq=False)
class Work:
    """One piece of work: `answer(value, error)` is called on the thread that has done it."""

    fn: Callable[..., object]
    args: tuple[object, ...]
    answer: Answer
    begun: bool = False
    given_up: bool = False
    replaced: bool = False
    """Whether another thread has taken the place of the one that does it."""


class Lane:
    """At most so many threads that do one kind of work, in the order in which it comes.

    They are started as they are needed, and daemons: what hangs does not hold up the end of the
    program. A thread cannot be interrupted: one whose work was given up is replaced, and ends when
    it comes back. Any thread may call the methods.
    """

    def __init__(self, name: str, threads: int = THREADS) -> None:
        self._name = name
        self._most = threads
        self._free = threading.Condition()
        self._queue: deque[Work] = deque()
        self._threads = 0
        self._idle = 0
        self._lost = 0

    def run(self, fn: Callable[..., object], args: tuple[object, ...], answer: Answer) -> Work:
        """Have `fn(*args)` run; whatever it raises is the answer's error."""
        work = Work(fn, args, answer)
        with self._free:
            self._queue.append(work)
            failed = self._start()
            self._free.notify()
            if failed is not None and not self._threads:
                self._queue.remove(work)
            else:
                failed = None
        if failed is not None:
            answer(None, failed)
        return work

    def give_up(self, work: Work) -> None:
        """Nobody waits for an answer any more: it is not given. Work that waits is not done."""
        with self._free:
            if work.given_up:
                return
            work.given_up = True
            if not work.begun:
                self._queue.remove(work)
            elif self._lost < MOST_LOST:
                work.replaced = True
                self._lost += 1
                self._threads -= 1
                self._start()

    def _start(self) -> Exception | None:
        """Start a thread if work waits for one; return why that could not be done."""
        if len(self._queue) <= self._idle or self._threads >= self._most:
            return None
        try:
            threading.Thread(target=self._serve, daemon=True, name=f"vcproxy {self._name}").start()
        except RuntimeError as error:  # the system starts no more threads
            return error
        self._threads += 1
        return None

    def _serve(self) -> None:
        while True:
            with self._free:
                self._idle += 1
                while not self._queue:
                    self._free.wait()
                self._idle -= 1
                work = self._queue.popleft()
                work.begun = True
            value, error = _done(work)
            with self._free:
                given_up = work.given_up
                if work.replaced:
                    self._lost -= 1
            if not given_up:
                work.answer(value, error)
            elif work.replaced:
                return


def _done(work: Work) -> tuple[object, Exception | None]:
    try:
        return work.fn(*work.args), None
    except BaseException as mistake:  # it would end the thread, and all that wait for it
        return None, as_error(mistake)


@dataclass(slots=True, eq=False)
class Lookup:
    """One who waits for the addresses of a name."""

    address: Address
    answer: Callable[[list[Address], Exception | None], None]


@dataclass(slots=True, eq=False)
class _Asked:
    """A name that is looked up, for all who wait for it."""

    waiting: list[Lookup] = field(default_factory=list)
    work: Work | None = None


class Names:
    """Looks names up: each once at a time, however many ask. Any thread may call its methods."""

    def __init__(self, resolve: Callable[[str], list[str]] = resolve) -> None:
        self._resolve = resolve
        self._lane = Lane("names", NAMES)
        self._lock = threading.Lock()
        self._asked: dict[str, _Asked] = {}

    def look_up(
        self, address: Address, answer: Callable[[list[Address], Exception | None], None]
    ) -> Lookup:
        """Find the addresses of a host: `answer(addresses, error)` is called on another thread."""
        lookup = Lookup(address, answer)
        host = address.host
        with self._lock:
            asked = self._asked.get(host)
            if asked is not None:
                asked.waiting.append(lookup)
                return lookup
            asked = self._asked[host] = _Asked([lookup])

        def found(value: object, error: Exception | None) -> None:
            with self._lock:
                if self._asked.get(host) is asked:
                    del self._asked[host]
            hosts = value if isinstance(value, list) else []
            for each in asked.waiting:
                each.answer([replace(each.address, host=name) for name in hosts], error)

        asked.work = self._lane.run(self._resolve, (host,), found)
        return lookup

    def give_up(self, lookup: Lookup) -> None:
        """One waits no more. With the last one the look-up is given up."""
        host = lookup.address.host
        with self._lock:
            asked = self._asked.get(host)
            if asked is None or lookup not in asked.waiting:
                return
            asked.waiting.remove(lookup)
            if asked.waiting:
                return
            del self._asked[host]
        if asked.work is not None:
            self._lane.give_up(asked.work)


class Lanes:
    """All lanes of a process."""

    def __init__(self) -> None:
        self.names = Names()
        self.own = Lane("own")
        """For what the proxy itself has to do, as reading its configuration."""
        self._lock = threading.Lock()
        self._calls: dict[str, Lane] = {}

    def calls(self, listener: str) -> Lane:
        """For what the plugin of a listener calls."""
        with self._lock:
            return self._calls.setdefault(listener, Lane(f"calls of {listener}"))
