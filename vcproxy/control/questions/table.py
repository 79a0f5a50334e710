"""QUESTIONS: the one table of what a running proxy answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from vcproxy.control.questions.conns import CONNS
from vcproxy.control.questions.flows import FLOWS
from vcproxy.control.questions.listeners import LISTENERS
from vcproxy.control.questions.process import PROCESS
from vcproxy.control.questions.question import Question

QUESTIONS: Final[Mapping[str, Question]] = {
    question.name: question for question in (LISTENERS, CONNS, FLOWS, PROCESS)
}
"""The questions by name."""
