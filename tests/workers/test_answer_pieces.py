"""Long answers of a worker, in pieces that fit into the channel."""

from __future__ import annotations

import json

from tests.workers.test_questions import ASK
from vcproxy.workers.answer_pieces import PIECE, AnswerPieces
from vcproxy.workers.channel import LARGEST, Channel
from vcproxy.workers.messages import Message, Verb
from vcproxy.workers.questions import Answers, Questions


class Asking:
    """The master's end of a channel to one worker, and the worker's."""

    def __init__(self) -> None:
        self.master, self.worker = Channel.pair()
        self.answers = AnswerPieces(self.worker)
        self.results: list[Answers] = []
        self.questions = Questions(
            lambda number, message: self.master.send(message),
            feed=lambda call: call(),
            after=lambda seconds, call: None,
        )

    def exchange(self, texts: list[str]) -> int:
        """Answer questions with these texts until all is answered; return the messages sent."""
        count = 0
        while received := self.worker.receive_all():
            [(message, _)] = received
            if message.verb is Verb.ASK:
                self.answers.send(message.number, texts)
            else:
                self.answers.send_next(message.number)
            [(piece, _)] = self.master.receive_all()
            assert len(piece.encode()) < LARGEST
            count += 1
            self.questions.answered(1, piece)
        return count

    def close(self) -> None:
        self.master.close()
        self.worker.close()


def test_a_long_answer_comes_in_pieces_one_at_a_time() -> None:
    asking = Asking()
    rows = ["\0\ud800\N{GRINNING FACE}" * 1000] * 40
    asking.questions.ask((1,), ASK, asking.results.append)
    texts = ["[", ",".join(map(json.dumps, rows)), "]"]
    assert asking.exchange(texts) == -(-len("".join(texts)) // PIECE)
    assert asking.results == [{1: rows}]
    asking.questions.ask((1,), ASK, asking.results.append)
    assert asking.exchange(["[]"]) == 1
    assert asking.results[1:] == [{1: []}]
    asking.close()


def test_the_rest_of_an_answer_that_comes_too_late_is_not_asked_for() -> None:
    asking = Asking()
    asking.questions.ask((1,), ASK, asking.results.append)
    asking.worker.receive_all()
    late = Message(Verb.ANSWER, text="[", number=1, more=True)
    asking.questions._gatherings.clear()
    asking.questions.answered(1, late)
    assert asking.worker.receive_all() == []
    asking.questions.ask((1,), ASK, asking.results.append)
    assert asking.exchange(["[7]"]) == 1
    assert asking.results == [{1: [7]}]
    asking.close()


def test_a_piece_of_another_answer_is_not_sent() -> None:
    asking = Asking()
    asking.answers.send(2, ["x" * (PIECE + 1)])
    assert len(asking.master.receive_all()) == 1
    asking.answers.send_next(1)
    assert asking.master.receive_all() == []
    asking.close()
