"""What `make release-check` reports about versions; its other checks build things for minutes."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

version_problems = runpy.run_path(str(ROOT / "packaging/check_release.py"))["version_problems"]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout that can be released as 1.2.0."""
    for folder in ("docs/releases", "packaging/debian"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "1.2.0"\n')
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n\n## 1.2.0 (2027-01-31)\n\n## 1.1.0\n")
    (tmp_path / "docs/releases/1.2.0.md").touch()
    (tmp_path / "packaging/debian/changelog").write_text("vcproxy (1.2.0-1) unstable; urgency=low")
    return tmp_path


def test_a_version_that_is_everywhere_is_ready(checkout: Path) -> None:
    assert version_problems(checkout) == []


def test_all_places_without_the_version_are_told(checkout: Path) -> None:
    (checkout / "pyproject.toml").write_text('[project]\nversion = "1.3.0"\n')
    assert version_problems(checkout) == [
        'CHANGELOG.md begins with "## 1.2.0 (2027-01-31)": write "## 1.3.0 (YYYY-MM-DD)"',
        "docs/releases/1.3.0.md is missing: write the release notes",
        'packaging/debian/changelog begins with "vcproxy (1.2.0-1) unstable; urgency=low": '
        "run dch --release",
    ]


def test_a_version_without_a_date_is_not_released(checkout: Path) -> None:
    (checkout / "CHANGELOG.md").write_text("## 1.2.0 (not yet released)\n")
    changelog = checkout / "packaging/debian/changelog"
    changelog.write_text("vcproxy (1.2.0-1) UNRELEASED; urgency=low")
    assert len(version_problems(checkout)) == 2
