"""A proxy as the dashboard sees it, with some of everything, for tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tests.control.dashboard.example import busy
from tests.control.proxy_double import ProxyDouble
from vcproxy.control.questions.answer import Answer


class BusyProxy(ProxyDouble):
    """Answers as a proxy with some of everything, one second older each time; or never."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.silent: set[str] = set()
        self.broken = False
        """Whether its rows lack their columns."""

    def ask(
        self, question: str, arguments: Mapping[str, str], then: Callable[[Answer], None]
    ) -> None:
        self.asked.append(question)
        if question not in self.silent:
            second = self.asked.count(question)
            rows: Any = busy(float(second)).rows.get(question, [])
            then(Answer([{}] if self.broken else rows))
