"""Collector: takes a sample of the proxy each second while a page is open, and sends the picture.

    IDLE --page opened--> ASKING --all answered--> RESTING --1 s--> ASKING
    ASKING, RESTING --last page closed--> IDLE

While no page is open it asks nothing and has no timer. Tested in
tests/control/dashboard/test_collector.py.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from vcproxy.control.dashboard.nodes import DETAILS
from vcproxy.control.dashboard.picture import picture
from vcproxy.control.dashboard.samples import QUESTIONS, Row, Sample
from vcproxy.control.web.web_reply import event_text
from vcproxy.engine.event import Event
from vcproxy.engine.mutex import Mutex
from vcproxy.machine.machine import Machine
from vcproxy.machine.state import State

if TYPE_CHECKING:
    from vcproxy.control.controlled import Controlled
    from vcproxy.control.dashboard.nodes import Node
    from vcproxy.control.dashboard.picture import Picture
    from vcproxy.control.questions.answer import Answer
    from vcproxy.control.web.web_reply import WebStream
    from vcproxy.engine.engine import Engine

MOST_PAGES: Final = 8
"""Pages that are served at a time: a third of the connections that the control's server has."""

OPENED: Final = "OPENED"
"""Tag: a page was opened. With its stream."""

LEFT: Final = "LEFT"
"""Tag: the last page was closed."""

ANSWERED: Final = "ANSWERED"
"""Tag: a question was answered. With the number of the sample, the question and the Answer."""

ENDED: Final = "ENDED"
"""Tag: the proxy ends."""


class Collector(Machine):
    """One for each proxy, on the engine of its control."""

    __slots__ = (
        "_before",
        "_failed",
        "_missing",
        "_number",
        "_picture",
        "_proxy",
        "_rows",
        "_shown",
        "_streams",
    )

    OPEN = State()
    IDLE = State(parent=OPEN, initial=True)
    ASKING = State(parent=OPEN, timeout="5s")  # the questions themselves give up after 2 s
    RESTING = State(parent=OPEN, timeout="1s")  # what people can follow
    CLOSED = State(final=True)

    IDLE.goes(OPENED, ASKING)
    RESTING.goes(Event.TIMEOUT, ASKING)
    ASKING.goes(LEFT, IDLE)
    RESTING.goes(LEFT, IDLE)
    OPEN.goes(ENDED, CLOSED)

    def __init__(self, engine: Engine, proxy: Controlled) -> None:
        super().__init__(engine, Mutex(), name="dashboard")
        self._proxy = proxy
        self._streams: dict[WebStream, None] = {}
        self._number = 0  # of the sample: answers to an earlier one are dropped
        self._rows: dict[str, Sequence[Row]] = {}
        self._missing: list[str] = []
        self._before: Sample | None = None
        self._shown = ""  # the last event that was sent
        self._picture: Picture | None = None
        self._failed = False  # an error was logged since a page was opened

    # -- for the dashboard: on the thread of the engine -----------------------------------------

    @property
    def full(self) -> bool:
        """Whether no more pages are served."""
        return len(self._streams) >= MOST_PAGES

    def add(self, stream: WebStream) -> None:
        """Send pictures to a stream until `remove`."""
        self._streams[stream] = None
        stream.send("retry: 2000\n\n" + self._shown)
        self.engine.schedule(self, OPENED, None)

    def remove(self, stream: WebStream) -> None:
        """Send no more to a stream."""
        if self._streams.pop(stream, self) is None and not self._streams:
            self.engine.schedule(self, LEFT, None)

    def node(self, name: str) -> Node | None:
        """Return a node of the last picture; None: it has no such node."""
        if self._picture is None:
            return None
        nodes = (self._picture.process, *self._picture.nodes)
        return next((node for node in nodes if node.id == name), None)

    def close(self) -> None:
        """End all streams."""
        for stream in list(self._streams):
            stream.close()
        self.engine.schedule(self, ENDED, None)

    # -- a sample -------------------------------------------------------------------------------

    @IDLE.enter
    def forget(self) -> None:
        """Forget what was shown: whoever opens a page later wants the present."""
        self._number += 1
        self._before, self._picture, self._shown, self._rows = None, None, "", {}
        self._failed = False

    @ASKING.enter
    def ask(self) -> None:
        """Ask all questions at once."""
        self._number += 1
        self._rows, self._missing = {}, []
        for question in QUESTIONS:
            self._proxy.ask(question, {}, partial(self._answered, self._number, question))

    def _answered(self, number: int, question: str, answer: Answer) -> None:
        """Pass on an answer. Any thread may call it."""
        self.engine.schedule(self, ANSWERED, (number, question, answer))

    @ASKING.on(ANSWERED, to=(RESTING,))
    def answered(self, data: tuple[int, str, Answer]) -> State | None:
        """Show the sample when it is complete."""
        number, question, answer = data
        if number != self._number:
            return None
        self._rows[question] = answer.rows
        self._missing += [answer.error] if answer.error else answer.missing
        if len(self._rows) < len(QUESTIONS):
            return None
        self._show()
        return self.RESTING

    @ASKING.on(Event.TIMEOUT, to=RESTING)
    def late(self, _: object) -> None:
        """Show what there is."""
        late = [question for question in QUESTIONS if question not in self._rows]
        self._missing.append(f"no answer in time about: {', '.join(late)}")
        self._show()

    def _show(self) -> None:
        sample = Sample(self.engine.now, self._rows, tuple(dict.fromkeys(self._missing)))
        self._picture = self._drawn(sample)
        self._before = sample
        shown = json.dumps(self._picture.to_json(DETAILS), separators=(",", ":"))
        self._shown = event_text(shown, "picture")
        for stream in list(self._streams):
            stream.send(self._shown)

    def _drawn(self, sample: Sample) -> Picture:
        """Return the picture; if that fails, one that says so: later pages need the collector."""
        try:
            return picture(self._before, sample)
        except Exception as error:
            if not self._failed:
                self._failed = True
                self.engine.log("error", "control: the dashboard cannot be drawn", error)
            text = "this page cannot be drawn: the log has the error"
            return picture(None, Sample(sample.at, {}, (text,)))

    @OPEN.on(OPENED, LEFT, ANSWERED)
    def ignored(self, _: object) -> None:
        """Do nothing: it is known, or too late."""
