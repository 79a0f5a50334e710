"""Each module has a test module of its own name, or its docstring says where it is tested."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

MODULES = [
    file
    for folder in ("vcproxy", "tunnels", "plugins")
    for file in sorted((ROOT / folder).rglob("*.py"))
    if file.name != "__init__.py"
]

TESTS = {file.name for file in (ROOT / "tests").rglob("test_*.py")}


@pytest.mark.parametrize("module", MODULES, ids=lambda file: str(file.relative_to(ROOT)))
def test_it_is_tested_under_its_name_or_says_where(module: Path) -> None:
    names = {f"test_{module.name}", f"test_{module.parent.name}_{module.name}"}
    if names & TESTS:
        return
    about = ast.get_docstring(ast.parse(module.read_text())) or ""
    places = re.findall(r"tests/[\w/.*]*\w", about.partition("Tested ")[2] or about)
    assert places, f"name its test {min(names)}, or say in its docstring where it is tested"
    assert all(list(ROOT.glob(place)) for place in places), places
