"""The page docs/reference/log-lines.md: what the log and the error output can contain, and why.

docs/reference/log-lines.toml has text, level, cause and remedy of each line; `make docs` writes the
page. `logged()` reads the sources, so that a test can find a text that is not in the table, and
`missing()` a text of the table that no source has any more.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import groupby, pairwise
from pathlib import Path

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "docs" / "reference" / "log-lines.toml"
PAGE = TABLE.with_suffix(".md")

LOGS = {"log", "_log", "log_peer", "_warn"}
"""Names of the functions that log."""

LEVELS = {"debug", "info", "warning", "error"}

HEAD = """\
# Log lines and errors

<!-- Written by `make docs` from log-lines.toml. -->

What the log of a proxy, `vcproxy -t` and the commands can report, by the folder of the source that
writes it, with the cause and what to do. `{names}` stand for what is filled in: search for the
words between them. Most lines begin with the name of a listener or connection. At level `error` the
history of a machine or a traceback may follow; `exit` is an error that ends the command.

Messages of plugins of your own (`self.log`) are not listed.
"""


@dataclass(frozen=True)
class Line:
    """One text of the table. `text` has a {name} for each part that is filled in."""

    text: str
    level: str
    where: str
    cause: str
    remedy: str

    @property
    def folder(self) -> str:
        """Return the folder of its module, as headings name it."""
        return self.where.rpartition("/")[0]


def table() -> list[Line]:
    """Return the lines of the table, in its order."""
    return [Line(**line) for line in tomllib.loads(TABLE.read_text())["line"]]


def page() -> str:
    """Return the page."""
    parts = [HEAD]
    lines = sorted(table(), key=lambda line: (line.folder, line.text))
    for folder, group in groupby(lines, lambda line: line.folder):
        parts.append(f"\n## {folder}\n\n| line | level | cause | what to do |\n|---|---|---|---|\n")
        for line in group:
            cells = (f"`{line.text}`", line.level, line.cause, line.remedy)
            parts.append(f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |\n")
    return "".join(parts)


def logged() -> Iterator[tuple[str, str]]:
    """Yield module and text of each call that logs; "..." stands for what is filled in."""
    for folder in ("vcproxy", "tunnels", "plugins"):
        for file in sorted((ROOT / folder).rglob("*.py")):
            place = file.relative_to(ROOT)
            if "testing" not in place.parts:
                for text in _logged(ast.parse(file.read_text())):
                    yield str(place), text


def _logged(tree: ast.Module) -> Iterator[str]:
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef):
            continue
        variables = {
            target.id: each.value
            for each in ast.walk(function)
            if isinstance(each, ast.Assign)
            for target in each.targets
            if isinstance(target, ast.Name)
        }
        for call in ast.walk(function):
            if not isinstance(call, ast.Call):
                continue
            if getattr(call.func, "attr", getattr(call.func, "id", "")) not in LOGS:
                continue
            for given in call.args:
                for text in _texts(variables.get(getattr(given, "id", ""), given)):
                    if text not in LEVELS and re.search(r"[a-z]{3}.* ", text):
                        yield text


def _texts(node: ast.expr) -> list[str]:
    """Return the texts that an expression may be, those of both branches of a condition."""
    match node:
        case ast.Constant(str(text)):
            return [text]
        case ast.JoinedStr(parts):
            return ["".join(_part(each) for each in parts).partition("\n")[0]]
        case ast.IfExp(_, one, other):
            return _texts(one) + _texts(other)
    return []


def _part(node: ast.expr) -> str:
    return str(node.value) if isinstance(node, ast.Constant) else "..."


def words(text: str) -> list[str]:
    """Return the fixed parts of a text, without those that are filled in."""
    parts = re.split(r"\{[^}]*\}|\.\.\.", text)
    return [part.strip(" :;,.") for part in parts if re.search(r"[a-z]{3}", part)]


def unlisted() -> list[str]:
    """Return the texts that are logged and not in the table, with their modules."""
    known = ["\n".join(words(line.text)) for line in table()]
    return [
        f"{place}: {text}"
        for place, text in logged()
        if not any(all(part in each for part in words(text)) for each in known)
    ]


def missing() -> list[str]:
    """Return the texts of the table that are not found in the sources of the folder that it names.

    A text is found if two of its words stand there in a row.
    """
    found = []
    for line in table():
        pairs = [pair for part in words(line.text) for pair in pairwise(part.split())]
        texts = _literals(line.folder)
        if pairs and not any(" ".join(pair) in texts for pair in pairs):
            found.append(f"{line.where}: {line.text}")
    return found


@cache
def _literals(folder: str) -> str:
    """Return all texts that the modules of a folder contain."""
    return "\n".join(
        each.value
        for file in sorted((ROOT / folder).glob("*.py"))
        for each in ast.walk(ast.parse(file.read_text()))
        if isinstance(each, ast.Constant) and isinstance(each.value, str)
    )
