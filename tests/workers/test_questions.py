"""Questions to the workers, and who waits for the result of a reload."""

from __future__ import annotations

from collections.abc import Callable

from vcproxy.workers.messages import Message, Question, Verb
from vcproxy.workers.outcomes import Outcomes
from vcproxy.workers.questions import LIMIT_S, LOST_S, WAITING, Answers, Questions

ASK = Message(Verb.ASK, question=Question.STATE)


class Asking:
    """The master's end of two channels."""

    def __init__(self) -> None:
        self.sent: list[tuple[int, int]] = []
        """Worker and number of each question."""
        self.full: set[int] = set()
        """The workers whose channel takes nothing."""
        self.timers: list[Callable[[], None]] = []
        self.losses: list[Callable[[], None]] = []
        self.results: list[Answers] = []
        self.questions = Questions(self.send, feed=lambda call: call(), after=self.after)

    def send(self, worker: int, message: Message) -> bool:
        if worker in self.full:
            return False
        self.sent.append((worker, message.number))
        return True

    def after(self, seconds: float, call: Callable[[], None]) -> None:
        (self.timers if seconds == LIMIT_S else self.losses).append(call)
        assert seconds in (LIMIT_S, LOST_S)

    def ask(self) -> None:
        self.questions.ask((1, 2), ASK, self.results.append)

    def answer(self, worker: int, number: int, text: str) -> None:
        self.questions.answered(worker, Message(Verb.ANSWER, text=text, number=number))


def test_the_answers_of_all_workers_are_gathered() -> None:
    asking = Asking()
    asking.ask()
    assert asking.sent == [(1, 1), (2, 1)]
    asking.answer(2, 1, "[5]")
    assert asking.results == []
    asking.answer(1, 1, '{"state": "serving"}')
    assert asking.results == [{1: {"state": "serving"}, 2: [5]}]


def test_a_worker_has_one_question_at_a_time() -> None:
    asking = Asking()
    for _ in range(3):
        asking.ask()
    assert asking.sent == [(1, 1), (2, 1)]
    asking.answer(1, 1, "1")
    assert asking.sent[2:] == [(1, 2)]
    asking.answer(1, 2, "2")
    assert asking.sent[3:] == [(1, 3)]


def test_a_worker_that_hangs_is_not_asked_more_than_can_wait() -> None:
    asking = Asking()
    for _ in range(3 * WAITING):
        asking.ask()
        asking.answer(1, len(asking.sent) - 1, "1")
    assert [each for each in asking.sent if each[0] == 2] == [(2, 1)]
    for timer in asking.timers:
        timer()
    assert len(asking.results) == 3 * WAITING
    assert asking.results[0] == {1: 1, 2: None}
    asking.answer(2, 1, "1")  # it goes on, and is asked only what somebody waits for
    asking.ask()
    assert asking.sent[-1] == (2, 3 * WAITING + 1)


def test_a_change_reaches_a_worker_that_was_busy_until_nobody_waited_for_it() -> None:
    asking = Asking()
    asking.ask()
    change = Message(Verb.ASK, question=Question.CHANGE, name="SERVER")
    asking.questions.ask((1, 2), change, asking.results.append)
    asking.ask()
    for number in (1, 2, 3):
        asking.answer(1, number, "1")
    for timer in asking.timers:
        timer()
    assert len(asking.results) == 3
    asking.answer(2, 1, "1")  # it goes on
    assert [each for each in asking.sent if each[0] == 2] == [(2, 1), (2, 2)]
    asking.answer(2, 2, "1")
    assert [each for each in asking.sent if each[0] == 2] == [(2, 1), (2, 2)]


def test_another_process_of_a_worker_is_asked_afresh() -> None:
    asking = Asking()
    asking.ask()
    asking.questions.gone(1)
    asking.ask()
    assert asking.sent == [(1, 1), (2, 1), (1, 2)]


def test_a_channel_that_is_full_loses_the_question() -> None:
    asking = Asking()
    asking.full.add(1)
    asking.ask()
    assert asking.sent == [(2, 1)]
    asking.full.clear()
    asking.ask()
    assert asking.sent[1:] == [(1, 2)]


def test_an_answer_that_is_lost_does_not_end_all_questions() -> None:
    asking = Asking()
    asking.ask()
    asking.ask()
    asking.answer(1, 1, "1")
    assert asking.sent == [(1, 1), (2, 1), (1, 2)]
    for loss in list(asking.losses):
        loss()
    assert asking.sent[3:] == [(2, 2)]
    asking.answer(1, 2, "1")
    asking.answer(2, 2, "2")
    assert asking.results == [{1: 1, 2: 2}]


def test_without_workers_the_answer_is_empty() -> None:
    asking = Asking()
    asking.questions.ask((), ASK, asking.results.append)
    assert asking.results == [{}]


def test_a_reload_that_was_requested_while_one_goes_on_is_the_next() -> None:
    outcomes, results = Outcomes(), list[str]()
    outcomes.add(lambda why: results.append(f"first: {why}"))
    outcomes.begin()
    outcomes.add(lambda why: results.append(f"second: {why}"))
    outcomes.finish("bad")
    assert results == ["first: bad"]
    assert outcomes.failure == "bad"
    outcomes.begin()
    outcomes.finish("")
    assert results[1:] == ["second: "]
    outcomes.add(lambda why: results.append(f"third: {why}"))
    outcomes.close("the proxy is ending")
    assert results[2:] == ["third: the proxy is ending"]
