"""The site: Sphinx builds it from docs/ without a warning about a link or a page missing in the
contents."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(600)  # half a minute on an idle machine
def test_it_is_built_without_a_warning(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sphinx", "--quiet", "--fail-on-warning", "-c", "docs/site"]
    done = subprocess.run(
        [*command, "docs", str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    index = (tmp_path / "index.html").read_text()
    for page in ("tutorial.html", "how-to/relay.html", "reference/configuration.html"):
        assert f'href="{page}"' in index
