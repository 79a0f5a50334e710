"""ControlledMaster: the master of several workers, as the commands of its control act on it.

Tested in tests/e2e/test_control_workers.py.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from signal import SIGTERM
from time import monotonic
from typing import TYPE_CHECKING, Final

from vcproxy.app.control.proxy_state import process_state
from vcproxy.config.workers import only_in_worker_1
from vcproxy.engine.units import show_duration
from vcproxy.workers.messages import Message, Question, Verb
from vcproxy.workers.phases import Phase
from vcproxy.workers.questions import LIMIT_S, Answers

if TYPE_CHECKING:
    from vcproxy.app.control.control_thread import ControlThread
    from vcproxy.control.changes.change import Changed
    from vcproxy.control.connection_trace import Events
    from vcproxy.control.controlled import Result
    from vcproxy.control.questions.answer import Answer, Row
    from vcproxy.engine.log_function import Level
    from vcproxy.workers.master_process import MasterProcess

ROWS_LIMIT_S: Final = 3.0
"""How long a worker may take for the rows of a question: two seconds for those of its net threads,
and one to send them."""

STATES: Final = {
    Phase.STARTING: "starting",
    Phase.SERVING: "serving",
    Phase.LOADING: "reloading",
    Phase.PREPARING: "reloading",
    Phase.COMMITTING: "reloading",
    Phase.RESTARTING: "restarting",
    Phase.DRAINING: "draining",
    Phase.STOPPING: "draining",
}
"""The state in PROXY_STATUS."""


class ControlledMaster:
    """See Controlled. Its methods act in the thread of the master."""

    has_workers = True

    def __init__(self, process: MasterProcess) -> None:
        self._process = process
        self._started_at = monotonic()

    def begin(self, thread: ControlThread) -> None:
        """See ControlledProcess."""

    def stop(self) -> None:
        """See Controlled."""
        self._process.soon(self._end)

    def stop_at_once(self) -> None:
        """See Controlled."""
        self.stop()
        self.stop()

    def reload(self, then: Result) -> None:
        """See Controlled."""
        self._process.soon(partial(self._reload, then))

    def restart(self, then: Result) -> None:
        """See Controlled."""
        self._process.soon(partial(self._restart, then))

    def reopen_log(self) -> None:
        """See Controlled."""
        process = self._process
        process.soon(lambda: process.perform(process.master.reopen()))

    def status(self, then: Callable[[Mapping[str, str | int]], None]) -> None:
        """See Controlled."""
        self._ask(Question.STATE, lambda answers: then(self._state(answers)))

    def waited_for(self, then: Callable[[Sequence[str]], None]) -> None:
        """See Controlled."""

        def answered(answers: Answers) -> None:
            lines: list[str] = []
            for number, found in answers.items():
                late = f"no answer within {LIMIT_S:g}s: it is busy, or a plugin blocks"
                lines += [
                    f"worker {number}: {each}" for each in ([late] if found is None else found)
                ]
            then(lines)

        self._ask(Question.WAITED_FOR, answered)

    def ask(
        self, question: str, arguments: Mapping[str, str], then: Callable[[Answer], None]
    ) -> None:
        """See Controlled."""
        from vcproxy.control.questions.answer import Answer, Filter, finished  # seldom asked for
        from vcproxy.control.questions.asking import question_of

        try:
            asked = question_of(question)
            wanted = Filter.of(asked, arguments)
        except ValueError as error:
            then(Answer(error=str(error)))
            return

        def answered(answers: Answers) -> None:
            rows, missing = [each for each in self._own_rows(question) if wanted.fits(each)], []
            for number, found in answers.items():
                if found is None:
                    late = show_duration(ROWS_LIMIT_S)
                    missing.append(f"worker {number}: no answer within {late}: it is busy")
                else:
                    rows += found["rows"]
                    missing += found["missing"]
            then(finished(asked, wanted, rows, missing))

        text = json.dumps(dict(arguments))
        self._ask(Question.ROWS, answered, name=question, text=text, limit_s=ROWS_LIMIT_S)

    def change(
        self, name: str, arguments: Mapping[str, str], then: Callable[[Changed], None]
    ) -> None:
        """See Controlled. A worker that is started later is changed too."""
        from vcproxy.control.changes.change import Changed  # seldom needed

        text = json.dumps(dict(arguments))

        def answered(answers: Answers) -> None:
            changed = Changed()
            for number, found in answers.items():
                if found is None:
                    late = show_duration(ROWS_LIMIT_S)
                    changed.add((), (), [f"worker {number}: no answer within {late}: it is busy"])
                else:
                    changed.add(*found)
            if changed.lines:
                self._process.changes.made(name, arguments, text)
            then(changed)

        self._ask(Question.CHANGE, answered, name=name, text=text, limit_s=ROWS_LIMIT_S)

    def trace(self, conn: str, events: Events, ended: Callable[[str], None]) -> Callable[[], None]:
        """See Controlled."""
        process = self._process
        worker = conn.partition("-")[0]
        if not (worker.isascii() and worker.isdigit() and len(worker) < 5):
            ended("name a connection by its id, such as 1-0-17")
            return lambda: None
        started: list[int] = []

        def start() -> None:
            started.append(process.traces.start(int(worker), conn, events, ended))

        process.soon(start)
        return lambda: process.soon(lambda: process.traces.stop(started[0]))

    def set_log_level(self, level: Level) -> None:
        """See Controlled."""
        self._process.soon(partial(self._process.changes.set_log_level, level))

    # -- plugins -----------------------------------------------------------------------------

    def usages(self, name: str, then: Callable[[Sequence[str]], None]) -> None:
        """See Controlled."""

        def answered(answers: Answers) -> None:
            then(sorted({each for found in answers.values() for each in found or ()}))

        self._ask(Question.USAGES, answered, name=name)

    def deliver(
        self, command: str, text: str, name: str, route: int, then: Callable[[int], None]
    ) -> None:
        """See Controlled. Each worker passes the message to its plugins."""

        def answered(answers: Answers) -> None:
            then(sum(found or 0 for found in answers.values()))

        self._ask(Question.DELIVER, answered, text=text, name=name, route=route)

    def on_reply(self, call: Callable[[int, str], None]) -> None:
        """See Controlled."""
        self._process.on_bus_reply = call

    def _own_rows(self, question: str) -> Iterator[Row]:
        """Yield the rows about the master itself."""
        if question == "process":
            process = self._process
            state = process_state(process.configuration, self._started_at, "")
            yield {
                "worker": 0,
                "role": "master",
                "pid": state["pid"],
                "version": state["version"],
                "state": STATES[process.master.phase],
                "uptime": state["uptime"],
                "configuration": state["configuration"],
                "generation": process.last_reload.generation,
                "reloaded_at": round(process.last_reload.at, 3),
                "reload_error": process.reloads.failure,
                "connections": 0,
                "children": len(process.pids),
                "lag": 0.0,
                "threads": [],
                "dropped_log_lines": 0,
            }
        elif question == "reloads":
            yield from ({"worker": 0, **row} for row in self._process.last_reload.rows())
        elif question == "settings":
            from vcproxy.app.control.setting_rows import setting_rows

            yield from ({"worker": 0, **row} for row in setting_rows(self._process.configuration))
        elif question == "metrics":
            from vcproxy.control.metrics.table import RESTARTS, WORKERS
            from vcproxy.control.questions.metrics import metric_row

            process = self._process
            restarts = process.master.supervisor.restarts
            for metric, value in ((WORKERS, len(process.pids)), (RESTARTS, restarts)):
                yield {"worker": 0, "thread": "", **metric_row(metric.name, (), value)}

    # -- in the thread of the master -----------------------------------------------------------

    def _ask(
        self,
        question: Question,
        then: Callable[[Answers], None],
        *,
        text: str = "",
        name: str = "",
        route: int = 0,
        limit_s: float = LIMIT_S,
    ) -> None:
        message = Message(Verb.ASK, text=text, question=question, name=name, route=route)
        process = self._process
        process.soon(lambda: process.questions.ask(process.pids, message, then, limit_s))

    def _end(self) -> None:
        process = self._process
        process.perform(process.master.end(SIGTERM, os.getpid(), monotonic()))

    def _reload(self, then: Result) -> None:
        process = self._process
        if process.master.phase in (Phase.DRAINING, Phase.STOPPING):
            then("the proxy is ending")
            return
        process.reloads.add(then)
        process.perform(process.reload())

    def _restart(self, then: Result) -> None:
        process = self._process
        if process.master.rolling.running:
            then("a restart goes on already")
        elif process.stdio_used:
            then("a listener uses standard input, which only the first process of worker 1 has")
        else:
            process.restarts.add(then)
            process.restarts.begin()
            alone = (1,) if only_in_worker_1(process.configuration) else ()
            process.perform(process.master.restart(alone, monotonic()))

    def _state(self, answers: Answers) -> dict[str, str | int]:
        process = self._process
        known = [each for each in answers.values() if each is not None]
        silent = [f"worker {number}" for number, found in answers.items() if found is None]
        return {
            **process_state(process.configuration, self._started_at, process.reloads.failure),
            "state": STATES[process.master.phase],
            "connections": sum(each["connections"] for each in known),
            "children": sum(each["children"] for each in known),
            "lag": max((each["lag"] for each in known), key=float, default="0.000"),
            "workers": ",".join(f"{number}:{pid}" for number, pid in process.pids.items()),
            "silent": ",".join(silent),
        }
