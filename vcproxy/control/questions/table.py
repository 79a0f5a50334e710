"""QUESTIONS: the one table of what a running proxy answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from vcproxy.control.questions.conns import CONNS
from vcproxy.control.questions.errors import ERRORS
from vcproxy.control.questions.flows import FLOWS
from vcproxy.control.questions.listeners import LISTENERS
from vcproxy.control.questions.machines import MACHINES
from vcproxy.control.questions.memory import MEMORY
from vcproxy.control.questions.metrics import METRICS_QUESTION
from vcproxy.control.questions.mirrors import MIRRORS
from vcproxy.control.questions.pools import POOLS
from vcproxy.control.questions.process import PROCESS
from vcproxy.control.questions.question import Question
from vcproxy.control.questions.queues import QUEUES
from vcproxy.control.questions.reloads import RELOADS
from vcproxy.control.questions.servers import SERVERS
from vcproxy.control.questions.settings import SETTINGS
from vcproxy.control.questions.sinks import SINKS
from vcproxy.control.questions.sources import SOURCES
from vcproxy.control.questions.splits import SPLITS
from vcproxy.control.questions.threads import THREADS
from vcproxy.control.questions.tls import TLS
from vcproxy.control.questions.upstreams import UPSTREAMS

QUESTIONS: Final[Mapping[str, Question]] = {
    question.name: question
    for question in (
        LISTENERS,
        CONNS,
        FLOWS,
        UPSTREAMS,
        SERVERS,
        POOLS,
        QUEUES,
        SINKS,
        MIRRORS,
        SPLITS,
        MACHINES,
        SOURCES,
        METRICS_QUESTION,
        TLS,
        MEMORY,
        ERRORS,
        THREADS,
        PROCESS,
        RELOADS,
        SETTINGS,
    )
}
"""The questions by name."""
