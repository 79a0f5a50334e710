"""collect: asks all net threads of a process a question, and gathers what they have answered.

Tested in tests/control/questions/test_asking.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from vcproxy.control.gathering import Gathering
from vcproxy.control.questions.answer import Filter
from vcproxy.control.questions.question import Asked, Of
from vcproxy.control.questions.slices import Slices
from vcproxy.engine.units import show_duration

if TYPE_CHECKING:
    from vcproxy.control.questions.answer import Row
    from vcproxy.control.questions.question import Question
    from vcproxy.control.questions.running import Running

T = TypeVar("T")

ROWS_S: Final = 2.0
"""How long a net thread may take for its rows: with ten thousand connections and traffic it takes
less than a second."""


class Part(Generic[T]):
    """The rows of one net thread."""

    def __init__(
        self,
        question: Question,
        asked: Asked,
        wanted: Filter,
        encode: Callable[[list[Row]], T],
        done: Callable[[], None],
    ) -> None:
        self.pieces: list[T] = []
        """Those of each turn, encoded."""
        self.missing = "no answer"
        """What is missing, if it was not done in time."""
        self.cancelled = False
        self._asked = asked
        self._question = question
        self._wanted = wanted
        self._encode = encode
        self._count = 0
        self._on_done = done
        self._head: Row = {"worker": asked.running.worker}
        if "thread" in question.column_names:
            self._head["thread"] = asked.engine.name

    def start(self) -> None:
        """Ask the net thread. Any thread may call it."""
        rows = self._question.rows(self._asked)
        Slices(self._asked.engine, rows, self._take, self._done).start()

    def _take(self, rows: list[Row]) -> bool:
        if self.cancelled:
            return False
        found = [self._head | row for row in rows]
        limit = self._wanted.limit
        if not self._question.key:
            found = [row for row in found if self._wanted.fits(row)]
            if limit:
                found = found[: limit - self._count]
        self._count += len(found)
        if found:
            self.pieces.append(self._encode(found))
        self.missing = f"only its first {self._count} rows came"
        return not limit or bool(self._question.key) or self._count < limit

    def _done(self, error: Exception | None) -> None:
        self.missing = ""
        if error is not None:
            name = self._question.name
            self.missing = f"the question {name} has failed: the log has its error"
            self._asked.engine.log("error", f"control: the question {name} has failed", error)
        self._on_done()


def collect(
    question: Question,
    arguments: Mapping[str, str],
    running: Running,
    encode: Callable[[list[Row]], T],
    then: Callable[[list[T], list[str]], None],
    *,
    feed: Callable[[Callable[[], None]], None],
    after: Callable[[float, Callable[[], None]], None],
) -> None:
    """Ask the net threads of this process; none of them is waited for longer than ROWS_S.

    Args:
        question, arguments, running: what is asked, of which process. Raises ValueError if an
            argument is wrong.
        encode: makes one piece of the rows of each turn, on the net thread.
        then: gets the pieces, and what is missing.
        feed, after: see Gathering. `then` is called in that thread.
    """
    wanted = Filter.of(question, arguments)
    engines = running.engines[:1] if question.of is Of.PROCESS else running.engines
    parts: dict[str, Part[T]] = {}

    def gathered(answers: Mapping[str, object]) -> None:
        pieces: list[T] = []
        missing: list[str] = []
        for name, part in parts.items():
            part.cancelled = True
            late, why = answers[name] is None, part.missing
            pieces += part.pieces
            if why:
                within = f" within {show_duration(ROWS_S)}: it is busy, or a plugin blocks"
                missing.append(f"{_part_name(running, name)}: {why}{within if late else ''}")
        then(pieces, missing)

    gathering = Gathering[Any](
        [each.name for each in engines], gathered, feed=feed, after=after, limit_s=ROWS_S
    )
    for engine in engines:
        done = partial(gathering.answer, engine.name, True)
        asked = Asked(engine, running, arguments)
        parts[engine.name] = Part(question, asked, wanted, encode, done)
    for part in parts.values():
        part.start()


def _part_name(running: Running, engine: str) -> str:
    return f"worker {running.worker}: {engine}" if running.worker else engine
