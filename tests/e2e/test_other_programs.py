"""The fixture for other programs leaves none of them behind."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.conftest import Tools
from tests.e2e.running import eventually


def test_a_program_is_killed_with_those_it_has_started(tmp_path: Path) -> None:
    """As nginx with its workers."""
    tools, file = Tools(tmp_path), tmp_path / "pid"
    tools.start("sh", "-c", f"sleep 60 & echo $! >{file}.new; mv {file}.new {file}; wait")
    eventually(file.exists, "it has started another one")
    child = Path(f"/proc/{file.read_text().strip()}")

    def gone() -> bool:
        try:
            return "\nState:\tZ" in (child / "status").read_text()  # until process 1 reaps it
        except OSError:
            return True

    assert not gone()
    tools.end()
    eventually(gone, "it was killed too")
