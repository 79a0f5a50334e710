"""vcproxy.api: its names are those of the reference, and the proxy does not import it."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from pathlib import Path

from vcproxy import api

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "api.md"


def test_the_reference_lists_every_name() -> None:
    assert sorted(re.findall(r"^\| `(\w+)` \|", PAGE.read_text(), re.MULTILINE)) == sorted(
        api.__all__
    )


def test_it_only_imports_names_and_exports_all_of_them() -> None:
    documentation, *body = ast.parse(inspect.getsource(api)).body
    assert isinstance(documentation, ast.Expr)
    names = {each.name for node in body if isinstance(node, ast.ImportFrom) for each in node.names}
    assert names | {"TIMEOUT"} == set(api.__all__)
    assert [type(node) for node in body if not isinstance(node, ast.ImportFrom)] == [ast.Assign] * 2


def test_the_proxy_starts_without_the_api() -> None:
    script = "import sys, vcproxy.app.server; sys.exit('vcproxy.api' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
