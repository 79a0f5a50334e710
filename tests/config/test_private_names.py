"""Private names of base classes are refused in plugins: they would replace what the base uses."""

from __future__ import annotations

from pathlib import Path

import pytest

from vcproxy.config.plugin_loader import PluginError, PluginLoader

VALIDATOR = """
from vcproxy.api import Accept, Validator

class Checked(Validator):
    def check(self, message):
        return Accept()
"""


def load(folder: Path, *lines: str, base: str = VALIDATOR) -> type:
    """Load a plugin with more lines in its class."""
    file = folder / "checked.py"
    file.write_text(base + "".join(f"    {line}\n" for line in lines))
    return PluginLoader().find(str(file))


@pytest.mark.parametrize(
    ("lines", "taken"),
    [
        (("def _refuse(self, verdict):", "    pass"), "_refuse, which Validator"),
        (("@property", "def _pending(self):", "    pass"), "_pending, which Validator"),
        (("def start_reading(self):", "    self._messages = []"), "_messages, which Validator"),
        (("__slots__ = ('_attempts',)",), "_attempts, which Session"),
        (("@classmethod", "def _take_all(cls):", "    pass"), "_take_all, which Validator"),
    ],
)
def test_a_name_that_the_base_uses_is_refused(
    tmp_path: Path, lines: tuple[str, ...], taken: str
) -> None:
    with pytest.raises(PluginError, match=f"Checked in .* sets {taken} uses itself: choose"):
        load(tmp_path, *lines)


def test_attributes_of_programs_are_found_where_they_are_used(tmp_path: Path) -> None:
    base = "from vcproxy.api import Relay\n\nclass Ticker(Relay):\n"
    start = ("def start(self):", "    self._producers = []", "    super().start()")
    with pytest.raises(PluginError, match="sets _producers, which Relay uses itself"):
        load(tmp_path, *start, base=base)


def test_other_names_are_an_authors_own(tmp_path: Path) -> None:
    lines = ("def _log_it(self):", "    self._seen = self.client.name", "    print(self._messages)")
    assert load(tmp_path, *lines).__name__ == "Checked"


def test_a_class_between_is_checked_too(tmp_path: Path) -> None:
    file = tmp_path / "two.py"
    file.write_text(
        VALIDATOR + "    def _refuse(self):\n        pass\n\nclass Last(Checked):\n    pass\n"
    )
    with pytest.raises(PluginError, match=r"Last in .* sets _refuse, which Validator"):
        PluginLoader().find(f"{file}:Last")
