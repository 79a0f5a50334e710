"""The targets of access logs: files that are moved, full, or not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from vcproxy.app.access_targets import AccessTargets
from vcproxy.app.log import LineLog
from vcproxy.testing.running import eventually


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "program.log"


def test_lines_reach_a_file_before_the_end(tmp_path: Path, log: Path) -> None:
    program, file = LineLog(log), tmp_path / "a.log"
    targets = AccessTargets(program)
    targets.open(frozenset([file]))
    sink = targets.sink(file)
    for number in range(1000):
        sink(b"%d\n" % number)
    targets.close()
    program.close()
    assert file.read_text().split() == [str(number) for number in range(1000)]
    assert not log.read_text()


def test_a_file_that_was_moved_is_opened_again(tmp_path: Path, log: Path) -> None:
    program, file = LineLog(log), tmp_path / "a.log"
    targets = AccessTargets(program)
    targets.open(frozenset([file]))
    targets.sink(file)(b"one\n")
    eventually(lambda: file.read_bytes() == b"one\n", "the first line")
    file.rename(tmp_path / "old.log")
    targets.reopen()
    targets.sink(file)(b"two\n")
    targets.close()
    program.close()
    assert (tmp_path / "old.log").read_bytes() == b"one\n"
    assert file.read_bytes() == b"two\n"


def test_a_full_disk_is_reported_once_in_the_program_s_log_and_lines_are_counted(log: Path) -> None:
    program, full = LineLog(log), Path("/dev/full")
    targets = AccessTargets(program)
    targets.open(frozenset([full]))
    for number in range(3):
        targets.sink(full)(b"line\n")
        eventually(lambda number=number: targets.dropped == number + 1, "dropped")  # type: ignore[misc]
    targets.close()
    program.close()
    (line,) = log.read_text().splitlines()
    assert line.endswith(
        "ERROR cannot write the access log to /dev/full: no space left on device; its lines are "
        "dropped and counted"
    )


def test_one_that_cannot_be_opened_opens_none(tmp_path: Path, log: Path) -> None:
    program = LineLog(log)
    targets = AccessTargets(program)
    wrong = tmp_path / "none" / "a.log"
    with pytest.raises(OSError, match=f"cannot open the access log {wrong}: No such file"):
        targets.open(frozenset([tmp_path / "a.log", wrong]))
    targets.keep(frozenset())
    program.close()


def test_what_a_reload_leaves_out_is_closed_after_its_lines(tmp_path: Path, log: Path) -> None:
    program, old, new = LineLog(log), tmp_path / "old.log", tmp_path / "new.log"
    targets = AccessTargets(program)
    targets.open(frozenset([old]))
    targets.sink(old)(b"last\n")
    targets.open(frozenset([old, new]))
    targets.keep(frozenset([new]))
    eventually(lambda: old.read_bytes() == b"last\n", "the last line")
    targets.close()
    program.close()
