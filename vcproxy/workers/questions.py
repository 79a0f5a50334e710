"""Questions: asks all workers something, for the control of the proxy, and gathers their answers.

A worker has one question at a time, so that questions never fill the channel, over which the master
must always be able to send.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import Any, Final

from vcproxy.control.gathering import ANSWER_S, Gathering
from vcproxy.workers.messages import Message, Question, Verb

LIMIT_S: Final = 1.5 * ANSWER_S
"""How long a worker may take: it waits for its own net threads for ANSWER_S."""

LOST_S: Final = 30.0
"""After this time an answer is lost, so that a worker is asked again: its end of the channel was
full. A worker that hangs is asked so seldom that the channel holds it for hours."""

WAITING: Final = 64
"""Questions that may wait for one worker; it is not asked more."""

Answers = dict[int, Any]
"""What each worker has answered; None: nothing in time."""


class Questions:
    """The questions to the workers. All methods belong to the thread of the master."""

    def __init__(
        self,
        send: Callable[[int, Message], bool],
        *,
        feed: Callable[[Callable[[], None]], None],
        after: Callable[[float, Callable[[], None]], None],
    ) -> None:
        """`send` sends a message to a worker, and returns whether it could. Others: see
        Gathering."""
        self._send = send
        self._feed = feed
        self._after = after
        self._count = 0
        self._asked: dict[int, int] = {}  # the question of each worker that has one
        self._waiting: dict[int, deque[Message]] = {}
        self._gatherings: dict[int, Gathering[Any]] = {}
        self._pieces: dict[int, list[str]] = {}  # of the answer that each worker has begun

    def ask(
        self,
        workers: Iterable[int],
        question: Message,
        then: Callable[[Answers], None],
        limit_s: float = LIMIT_S,
    ) -> None:
        """Send a question to workers; `then` gets the answers, those that come within `limit_s`."""
        self._count += 1
        number = self._count
        numbers = {str(worker): worker for worker in workers}

        def gathered(answers: dict[str, Any]) -> None:
            self._gatherings.pop(number, None)
            then({worker: answers[name] for name, worker in numbers.items()})

        gathering = Gathering[Any](
            numbers, gathered, feed=self._feed, after=self._after, limit_s=limit_s
        )
        if not numbers:
            return
        self._gatherings[number] = gathering
        for worker in numbers.values():
            waiting = self._waiting.setdefault(worker, deque())
            if len(waiting) < WAITING:
                waiting.append(replace(question, verb=Verb.ASK, number=number))
            self._ask_next(worker)

    def answered(self, worker: int, message: Message) -> None:
        """Handle an answer, or a piece of it: further ones are asked for, so that no more than one
        is in the channel."""
        pieces = self._pieces.setdefault(worker, [])
        pieces.append(message.text)
        if message.more:
            wanted = message.number in self._gatherings
            if wanted and self._send(worker, Message(Verb.CONTINUE, number=message.number)):
                return
        del self._pieces[worker]
        if self._asked.get(worker) == message.number:
            del self._asked[worker]
            self._ask_next(worker)
        gathering = self._gatherings.get(message.number)
        if gathering is not None and not message.more:
            gathering.answer(str(worker), json.loads("".join(pieces)))

    def gone(self, worker: int) -> None:
        """The process of a worker has ended: it answers nothing more."""
        self._asked.pop(worker, None)
        self._pieces.pop(worker, None)
        self._waiting.pop(worker, None)

    def _ask_next(self, worker: int) -> None:
        waiting = self._waiting.get(worker)
        while waiting and worker not in self._asked:
            question = waiting.popleft()
            wanted = question.number in self._gatherings
            change = question.question is Question.CHANGE  # one that is late makes it all the same
            if (wanted or change) and self._send(worker, question):
                self._asked[worker] = question.number
                self._after(LOST_S, partial(self._lost, worker, question.number))

    def _lost(self, worker: int, number: int) -> None:
        if self._asked.get(worker) == number:
            del self._asked[worker]
            self._ask_next(worker)
