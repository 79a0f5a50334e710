"""The adversarial corpus: requests and answers that other proxies handle wrongly, and valid ones
that a strict proxy must not refuse.

    python -m tests.http.corpus            run it against HAProxy and nginx; write the page

The cases are data (see case.py). `run_case` runs a case on any proxy; `objections` lists the
differences from the expected result.
"""

from itertools import chain

from tests.http.corpus import (
    answer_bodies,
    answer_ends,
    answers,
    answers_without_body,
    chunks,
    connections,
    fields,
    framing,
    pipelines,
    request_lines,
    sizes,
)
from tests.http.corpus.case import AnswerCase, RequestCase

THEMES = (
    *request_lines.THEMES,
    *fields.THEMES,
    *framing.THEMES,
    *chunks.THEMES,
    *connections.THEMES,
    *pipelines.THEMES,
    *sizes.THEMES,
    *answers.THEMES,
    *answers_without_body.THEMES,
    *answer_bodies.THEMES,
    *answer_ends.THEMES,
)
CASES = tuple(chain.from_iterable(theme.cases for theme in THEMES))
REQUESTS = tuple(case for case in CASES if isinstance(case, RequestCase))
ANSWERS = tuple(case for case in CASES if isinstance(case, AnswerCase))
