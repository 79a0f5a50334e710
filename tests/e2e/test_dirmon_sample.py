"""The sample samples/staged: the directory monitor, as a process; it ends with its directory."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.conftest import Starter
from vcproxy.config.loader import load

SAMPLES = Path(__file__).parents[2] / "samples" / "staged"


def test_the_directory_monitor(proxy: Starter, tmp_path: Path) -> None:
    directory = tmp_path / "watched"
    directory.mkdir()
    running = proxy(
        f"""
        [[listener]]
        name = "dirmon"
        plugin = "{SAMPLES}/dirmon.py"
        options = {{ directory = "{directory}" }}
        """
    )
    running.wait_for("DirMon-1 @ INIT got 'M0' from SELF")
    running.wait_for("ready")
    (directory / "a").write_text("1")
    running.wait_for(r"'a': closed \(write\)")
    (directory / "a").unlink()
    directory.rmdir()
    running.wait_for(f"'{directory}': ignored")
    running.wait_for("Bye!")
    assert running.wait() == 0


def test_its_configuration_is_right() -> None:
    load(SAMPLES / "dirmon.toml")
