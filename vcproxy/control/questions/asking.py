"""ask: one question to the process that it runs in. `Controlled.ask` of ControlledProxy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from vcproxy.control.questions.answer import Answer, Filter, finished
from vcproxy.control.questions.collecting import collect
from vcproxy.control.questions.table import QUESTIONS

if TYPE_CHECKING:
    from vcproxy.control.questions.answer import Row
    from vcproxy.control.questions.question import Question
    from vcproxy.control.questions.running import Running


def question_of(name: str) -> Question:
    """Return a question by its name. Raises ValueError."""
    question = QUESTIONS.get(name)
    if question is None:
        from difflib import get_close_matches  # imported only if there is an error

        near = get_close_matches(name[:80], QUESTIONS, 1)
        hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(sorted(QUESTIONS))}"
        raise ValueError(f"there is no question `{name[:40]}`; {hint}")
    return question


def ask(
    name: str,
    arguments: Mapping[str, str],
    running: Running,
    then: Callable[[Answer], None],
    *,
    feed: Callable[[Callable[[], None]], None],
    after: Callable[[float, Callable[[], None]], None],
) -> None:
    """Ask all net threads of this process; `then` gets the answer in the thread of `feed`."""
    try:
        question = question_of(name)
        wanted = Filter.of(question, arguments)
    except ValueError as error:
        then(Answer(error=str(error)))
        return

    def collected(pieces: list[list[Row]], missing: list[str]) -> None:
        rows = (row for piece in pieces for row in piece)
        then(finished(question, wanted, rows, missing))

    collect(question, arguments, running, list, collected, feed=feed, after=after)
