"""MetricsPages: /metrics, /healthz and /readyz of a running proxy.

    GET /metrics   what all net threads and workers have counted: see exposition
    GET /healthz   200 unless no net thread answers
    GET /readyz    200 while new clients are served; 503 before, and while the proxy drains

Everybody who can connect may read them. Tested in tests/control/test_metrics_pages.py.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from vcproxy.control.metrics.exposition import exposition
from vcproxy.control.metrics.totals import Family, Totals
from vcproxy.control.questions.slices import Slices
from vcproxy.control.web.web_reply import WebReply
from vcproxy.control.web.web_server import WebRoute, WebServer

if TYPE_CHECKING:
    from vcproxy.control.controlled import Controlled
    from vcproxy.control.questions.answer import Answer
    from vcproxy.control.web.web_request import WebRequest
    from vcproxy.engine.engine import Engine
    from vcproxy.engine.log_function import LogFunction

TEXT: Final = "text/plain; charset=utf-8"

NOT_READY: Final = ("starting", "draining")
"""States of a proxy that serves no new clients."""


class MetricsPages:
    """Answers the requests for one proxy, on the engine of its control."""

    def __init__(self, engine: Engine, proxy: Controlled, log: LogFunction) -> None:
        self._engine = engine
        self._proxy = proxy
        self._log = log
        self._totals = Totals()
        self._waiting: list[tuple[str, WebReply]] = []
        self._logged: set[str] = set()
        self.server = WebServer(
            engine,
            "metrics",
            [
                WebRoute("GET", "/metrics", self._metrics),
                WebRoute("GET", "/healthz", self._healthz),
                WebRoute("GET", "/readyz", self._readyz),
            ],
        )
        """What serves its clients: a Listener."""

    # -- /metrics ----------------------------------------------------------------------------

    def _metrics(self, request: WebRequest, reply: WebReply) -> None:
        """Collect the numbers; who asks meanwhile gets the same."""
        self._waiting.append((request.fields.get("accept", ""), reply))
        if len(self._waiting) == 1:
            self._proxy.ask("metrics", {}, self._answered)

    def _answered(self, answer: Answer) -> None:
        self._engine.inbox.feed(partial(self._add, answer))

    def _add(self, answer: Answer) -> None:
        """Add up, a few numbers in each turn."""
        families: list[Family] = []
        Slices(
            self._engine,
            self._totals.add(answer, families),
            lambda rows: True,
            partial(self._added, families),
        ).start()

    def _added(self, families: list[Family], error: Exception | None) -> None:
        waiting, self._waiting = self._waiting, []
        if error is not None:
            self._log("error", "metrics: they could not be added up", error)
        for name in self._totals.conflicts:
            if name not in self._logged:
                self._logged.add(name)
                self._log(
                    "warning",
                    f"metric {name} is declared in several ways: only the latest is exported",
                )
        for accept, reply in waiting:
            if error is not None:
                reply.error(500, "the metrics could not be added up: see the log")
            else:
                content_type, text = exposition(families, accept)
                reply.send(200, text, content_type)

    # -- health ------------------------------------------------------------------------------

    def _healthz(self, request: WebRequest, reply: WebReply) -> None:
        self._proxy.ask("process", {}, partial(_health, reply))

    def _readyz(self, request: WebRequest, reply: WebReply) -> None:
        self._proxy.ask("process", {}, partial(_readiness, reply))


def _health(reply: WebReply, answer: Answer) -> None:
    """Answer with 503 if nothing serves; a part that does not answer may be busy, or replaced."""
    states = {row["role"]: row["state"] for row in answer.rows}
    serving = "proxy" in states or "worker" in states or states.get("master") == "starting"
    _send(reply, serving, "ok", answer.missing)


def _readiness(reply: WebReply, answer: Answer) -> None:
    states = {row["role"]: row["state"] for row in answer.rows}
    state = states.get("master") or states.get("proxy") or "not answering"
    ready = state not in (*NOT_READY, "not answering") and not answer.missing
    _send(reply, ready, state, answer.missing)


def _send(reply: WebReply, well: bool, text: str, missing: list[str]) -> None:
    lines = [text, *missing]
    reply.send(200 if well else 503, "".join(f"{line}\n" for line in lines).encode(), TEXT)
