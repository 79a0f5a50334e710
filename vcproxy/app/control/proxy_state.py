"""The state of a proxy in this process, for those who ask: of its control, or of its master.

Tested in tests/e2e/test_control.py.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, TypeVar

from vcproxy.app.draining import children, connections
from vcproxy.control.gathering import ANSWER_S, Gathering
from vcproxy.control.questions.slices import Slices
from vcproxy.engine.plugin_error import as_error
from vcproxy.engine.units import show_duration
from vcproxy.engine.waited_for import waited_for

if TYPE_CHECKING:
    from vcproxy.app.server import Proxy
    from vcproxy.config.loader import Configuration
    from vcproxy.engine.engine import Engine

T = TypeVar("T")

MOST_LINES: Final = 400
"""What is listed of one net thread: more than fits into a message of the bus."""


def process_state(
    configuration: Configuration, started_at: float, reload: str
) -> dict[str, str | int]:
    """Return what PROXY_STATUS has of every proxy. Any thread may call it.

    `started_at`: on the clock of `monotonic`. `reload`: why the last one has failed, or "".
    """
    from importlib.metadata import version  # takes some milliseconds

    return {
        "pid": os.getpid(),
        "version": version("vcproxy"),
        "uptime": int(monotonic() - started_at),
        "configuration": str(configuration.file),
        "listeners": ",".join(each.name for each in configuration.settings.listener),
        "reload": reload.partition("\n")[0],
    }


def proxy_state(proxy: Proxy) -> dict[str, str | int]:
    """Return the state as parameters of PROXY_STATUS. Any thread may call it; it does not wait."""
    lag_s = max((each.longest_s for each in proxy.lags().values()), default=0.0)
    return {
        "state": "draining" if proxy.reloads.ending else "serving",
        "connections": connections(proxy.engines),
        "children": children(proxy.engines),
        "lag": f"{lag_s:.3f}",
    }


def collect_waited_for(
    proxy: Proxy,
    then: Callable[[Sequence[str]], None],
    *,
    feed: Callable[[Callable[[], None]], None],
    after: Callable[[float, Callable[[], None]], None],
) -> None:
    """Collect what each net thread waits for: one line for each thing. See Gathering."""
    engines = {engine.name: engine for engine in proxy.engines}

    def collected(answers: dict[str, list[str] | None]) -> None:
        lines: list[str] = []
        for name, found in answers.items():
            late = f"no answer within {show_duration(ANSWER_S)}: it is busy, or a plugin blocks"
            lines += [f"{name}: {each}" for each in ([late] if found is None else found)]
        then(lines)

    gathering = Gathering(engines, collected, feed=feed, after=after)
    for name, engine in engines.items():
        _ask(gathering, name, engine)


def _ask(gathering: Gathering[list[str]], name: str, engine: Engine) -> None:
    """Ask a net thread, which makes a few lines in each turn: see Slices."""
    lines: list[str] = []

    def take(rows: list[dict[str, Any]]) -> bool:
        lines.extend(each["line"] for each in rows)
        return len(lines) < MOST_LINES

    def done(error: Exception | None) -> None:
        gathering.answer(name, lines[:MOST_LINES])

    rows = ({"line": str(each)} for each in waited_for(engine))
    Slices(engine, rows, take, done).start()


def call_in_thread(
    feed: Callable[[Callable[[], None]], None], call: Callable[[], T], timeout_s: float
) -> T:
    """Return what a function returns in another thread, in which `feed` makes calls.

    Raises TimeoutError, and what the function raises.
    """
    answer: Future[T] = Future()

    def answered() -> None:
        try:
            answer.set_result(call())
        except BaseException as mistake:  # raised by a plugin: pass it to the caller
            answer.set_exception(as_error(mistake))

    feed(answered)
    return answer.result(timeout_s)
