"""The page docs/reference/log-lines.md: every line that the log can have, from the sources.

`collected()` finds the calls that log and takes their texts, with {names} for what is filled in.
Cause and remedy of each are in log-lines.toml beside the page, by the text. `make docs` writes the
page; a test fails for a text without cause and remedy, and for one that no code logs any more.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "docs" / "reference" / "log-lines.toml"
PAGE = TABLE.with_suffix(".md")

FOLDERS = ("vcproxy", "tunnels", "plugins")
LOGS = {"log", "_log", "_warn"}
"""Names of the functions that log."""
LEVELS = {"debug", "info", "warning", "error"}

HEAD = """\
# Log lines

<!-- Written by `make docs` from the sources and log-lines.toml. -->

Every line that the log of a proxy can have, by the folder that writes it; `...` stands for what is
filled in. Most begin with the listener's or connection's name. At level `error` the history of the
machine or a traceback may follow.

A message of a plugin of your own (`self.log`) is not listed.
"""


@dataclass(frozen=True, order=True)
class Line:
    """One text that is logged. `text` has "..." for each part that is filled in."""

    folder: str
    text: str
    level: str


def collected() -> list[Line]:
    """Return the texts of all calls that log, in order of folder and text."""
    found = set()
    for folder in FOLDERS:
        for file in sorted((ROOT / folder).glob("**/*.py")):
            place = file.relative_to(ROOT)
            if "testing" in place.parts or file.is_symlink():
                continue
            name = place.parts[1] if len(place.parts) > 2 else place.parts[0]
            for text, level in _logged(ast.parse(file.read_text())):
                found.add(Line(name, text, level))
    return sorted(found)


def _logged(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Yield text and level of each call that logs a text of its own."""
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
            name = getattr(call.func, "attr", getattr(call.func, "id", ""))
            if name not in LOGS:
                continue
            given = [variables.get(getattr(each, "id", ""), each) for each in call.args]
            texts = [text for each in given for text in _texts(each)]
            levels = [text for text in texts if text in LEVELS]
            for text in texts:
                if text not in LEVELS and re.search(r"[a-z]{3}.* ", text):
                    yield text, levels[0] if levels else "info"


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


def explained() -> dict[str, dict[str, str]]:
    """Return cause and remedy of each text, from the table."""
    return {line.pop("text"): line for line in tomllib.loads(TABLE.read_text())["line"]}


def page() -> str:
    """Return the page."""
    known = explained()
    parts = [HEAD]
    folder = ""
    for line in collected():
        if line.folder != folder:
            folder = line.folder
            parts.append(
                f"\n## {folder}\n\n| line | level | cause | what to do |\n|---|---|---|---|\n"
            )
        why = known.get(line.text, {"cause": "", "remedy": ""})
        text = line.text.replace("|", "\\|")
        parts.append(f"| `{text}` | {line.level} | {why['cause']} | {why['remedy']} |\n")
    return "".join(parts)
