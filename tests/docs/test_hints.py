"""Hints in messages and pages to install a library name one that can be installed."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
LIBRARIES = {
    re.split(r"[^\w.-]", requirement)[0]
    for requirements in [PROJECT["dependencies"], *EXTRAS.values()]
    for requirement in requirements
}
OF_THE_CHECKOUT = {".", *(f".[{extra}]" for extra in EXTRAS)}
SOURCES = [
    file
    for top in ("vcproxy", "tunnels", "plugins", "tests/bench")
    for file in sorted((ROOT / top).glob("**/*.py"))
]
HINT = re.compile(r"pip install (?:-\S+ )*([\"'\\]*)([^\s`)]+?)\1(?=[\s`)\"'.]|$)")


def hints(text: str) -> list[str]:
    """Return the libraries that a text says to install."""
    return [match[2] for match in HINT.finditer(text)]


HINTS = [
    (file.relative_to(ROOT), hint)
    for file in [*PAGES, *SOURCES]
    for hint in hints(file.read_text())
]


def test_hints_are_found_however_they_are_quoted() -> None:
    assert hints("pip install 'a[b]'\n`pip install -e \".[x]\"` (pip install c-d)") == [
        "a[b]",
        ".[x]",
        "c-d",
    ]
    assert len(HINTS) >= 4


@pytest.mark.parametrize(("file", "hint"), HINTS, ids=str)
def test_the_libraries_in_hints_exist(file: Path, hint: str) -> None:
    assert hint in LIBRARIES | OF_THE_CHECKOUT, f"{file} says to install {hint}"
