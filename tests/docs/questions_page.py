"""The page docs/reference/questions.md: every question, with its columns and units."""

from __future__ import annotations

from vcproxy.control.questions.question import Merged, Question
from vcproxy.control.questions.table import QUESTIONS

HEAD = """# Questions to a running proxy

<!-- Written by `make docs` from vcproxy/control/questions. -->

`vcproxy ctl show NAME`, `GET /v1/show/NAME` and `SHOW question=NAME` answer with rows. How to ask,
and what an answer misses: [the control](../how-to/control.md#questions).

Every row has `worker`, the number of the worker; without workers 0. Where it is about one net
thread it has `thread`, the name of that thread. In all other rows the values of all net threads
are merged: added up, unless the table says otherwise.

A question takes `limit`, the most rows, and each of its columns, with the value that is wanted, or
with what it begins with before a `*`. An address without its port is the address with any port.
"""

UNITS = {"unix": "seconds since 1970, UTC"}

MERGED = {
    Merged.SUM: "",
    Merged.MOST: "The largest of all net threads.",
    Merged.LEAST: "The smallest of all net threads.",
}


def page() -> str:
    """Return the page."""
    lines = [HEAD, "| question | about |", "|---|---|"]
    lines += [f"| [{name}](#{name}) | {each.doc} |" for name, each in sorted(QUESTIONS.items())]
    for _, question in sorted(QUESTIONS.items()):
        lines += ["", f"## {question.name}", "", *_section(question)]
    return "\n".join(lines) + "\n"


def _section(question: Question) -> list[str]:
    lines = [question.doc, "", "| column | unit | |", "|---|---|---|"]
    for column in question.columns:
        unit = UNITS.get(column.unit, column.unit)
        more = MERGED.get(column.merged, "") if question.key else ""
        about = " ".join(filter(None, (column.doc, more))).replace("|", "\\|")
        lines.append(f"| `{column.name}` | {unit} | {about} |")
    if question.arguments:
        lines += ["", "| argument | |", "|---|---|"]
        lines += [f"| `{each.name}` | {each.doc} |" for each in question.arguments]
    return lines
