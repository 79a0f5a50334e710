"""Questions to two net threads: what is gathered, merged, filtered and refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, cast

from tests.engine.world import engine
from vcproxy.control.questions.answer import Answer, Filter, finished
from vcproxy.control.questions.asking import question_of
from vcproxy.control.questions.collecting import ROWS_S, collect
from vcproxy.control.questions.question import Asked, Column, Merged, Of, Question
from vcproxy.control.questions.running import Running


class TwoThreads:
    """Stands for a Running of which only the engines are used."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.worker = 0
        self.engines = [engine(self.log, name="net-0"), engine(self.log, name="net-1")]
        self.timers: list[Callable[[], None]] = []

    def ask(self, question: Question, *turning: int, **arguments: str) -> Answer:
        """Ask, and let these net threads turn; then let the time be up."""
        answers: list[Answer] = []

        def collected(pieces: list[list[dict[str, Any]]], missing: list[str]) -> None:
            rows = [row for piece in pieces for row in piece]
            answers.append(finished(question, Filter.of(question, arguments), rows, missing))

        running = cast(Running, self)
        collect(
            question,
            arguments,
            running,
            list,
            collected,
            feed=lambda call: call(),
            after=self.after,
        )
        for number in turning:
            inbox = self.engines[number].inbox
            while inbox.fed:
                inbox.drain()
        self.timers.pop()()
        [answer] = answers
        return answer

    def after(self, seconds: float, call: Callable[[], None]) -> None:
        assert seconds == ROWS_S
        self.timers.append(call)


def of(rows: Callable[[Asked], Iterator[dict[str, Any] | None]], **options: Any) -> Question:
    columns = (
        Column("name", "A name."),
        Column("count", "A number.", merged=Merged.SUM),
        Column("most", "A number.", merged=Merged.MOST),
        Column("at", "A text."),
    )
    return Question("q", "A question.", columns, rows, **options)


def servers(asked: Asked) -> Iterator[dict[str, Any] | None]:
    number = 1 if asked.first else 5
    for name in ("a", "b"):
        at = ["x:1"] if asked.first else []
        yield {"name": name, "count": number, "most": number, "at": at}


def test_the_rows_of_all_threads() -> None:
    answer = TwoThreads().ask(of(servers), 1, 0)
    assert [(each["thread"], each["name"], each["count"]) for each in answer.rows] == [
        ("net-0", "a", 1),
        ("net-0", "b", 1),
        ("net-1", "a", 5),
        ("net-1", "b", 5),
    ]
    assert answer.missing == []


def test_rows_of_one_thing_become_one() -> None:
    answer = TwoThreads().ask(of(servers, key=("name",)), 0, 1, name="b")
    assert answer.rows == [{"worker": 0, "name": "b", "count": 6, "most": 5, "at": ["x:1"]}]


def test_the_first_thread_answers_for_the_process() -> None:
    answer = TwoThreads().ask(of(servers, of=Of.PROCESS), 0)
    assert [each["name"] for each in answer.rows] == ["a", "b"]
    assert "thread" not in answer.rows[0]


def test_a_thread_that_does_not_turn_is_missing() -> None:
    answer = TwoThreads().ask(of(servers), 0)
    assert [each["thread"] for each in answer.rows] == ["net-0", "net-0"]
    assert answer.missing == ["net-1: no answer within 2s: it is busy, or a plugin blocks"]


def test_rows_that_were_made_before_the_time_was_up_are_in_the_answer() -> None:
    def many(asked: Asked) -> Iterator[dict[str, Any] | None]:
        for number in range(1000):
            yield {"name": str(number), "count": 0, "most": 0, "at": ""}

    threads = TwoThreads()
    threads.engines[1].inbox.feed(lambda: None)
    question = of(many)
    answers: list[tuple[int, list[str]]] = []

    def collected(pieces: list[int], missing: list[str]) -> None:
        answers.append((sum(pieces), missing))

    collect(
        question, {}, cast(Running, threads), len, collected,
        feed=lambda call: call(), after=threads.after,
    )  # fmt: skip
    for each in threads.engines:
        each.inbox.drain()
    threads.timers.pop()()
    within = "within 2s: it is busy, or a plugin blocks"
    assert answers == [
        (50, [f"{name}: only its first 25 rows came {within}" for name in ("net-0", "net-1")])
    ]
    for each in threads.engines:
        each.inbox.drain()
        assert not each.inbox.fed, "a question that is over goes on"


def test_a_question_that_fails_is_logged() -> None:
    def failing(asked: Asked) -> Iterator[dict[str, Any] | None]:
        yield {"name": "a", "count": 0, "most": 0, "at": ""}
        raise KeyError("vc")

    threads = TwoThreads()
    answer = threads.ask(of(failing, of=Of.PROCESS), 0)
    assert answer.missing == ["net-0: the question q has failed: the log has its error"]
    assert threads.log == ["error: control: the question q has failed ('vc')"]


def test_filters_and_limits() -> None:
    ask = TwoThreads().ask
    assert [each["name"] for each in ask(of(servers), 0, 1, thread="net-1").rows] == ["a", "b"]
    assert [each["at"] for each in ask(of(servers), 0, 1, at="x").rows] == [["x:1"], ["x:1"]]
    assert [each["count"] for each in ask(of(servers), 0, 1, name="b*").rows] == [1, 5]
    assert [each["name"] for each in ask(of(servers), 0, 1, limit="3").rows] == ["a", "b", "a"]
    assert len(ask(of(servers, key=("name",)), 0, 1, limit="1").rows) == 1


def refusal(name: str, **arguments: str) -> str:
    try:
        Filter.of(question_of(name), arguments)
    except ValueError as error:
        return str(error)
    return ""


def test_what_is_refused_names_what_there_is() -> None:
    assert refusal("conns", limit="5", listener="x") == ""
    assert refusal("conn") == "there is no question `conn`; did you mean conns?"
    assert "there are: conns, " in refusal("x" * 500)
    wrong = refusal("conns", colour="red")
    assert wrong.startswith("conns: there is no column or argument `colour`; there are limit, ")
    assert refusal("conns", limit="-1") == "conns: limit: `-1` is not a number of rows"
