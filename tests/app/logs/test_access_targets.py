"""The targets of access logs: files that are moved, full, or not there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.e2e.running import free_port
from vcproxy.app.logs import access_targets
from vcproxy.app.logs.access_targets import AccessTargets
from vcproxy.app.logs.log import LineLog
from vcproxy.config.log_target import SyslogServer
from vcproxy.engine.address import Address
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


def test_a_folder_that_has_vanished_is_reported_and_the_open_file_stays_in_use(
    tmp_path: Path, log: Path
) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    program, file = LineLog(log), folder / "a.log"
    targets = AccessTargets(program)
    targets.open(frozenset([file]))
    folder.rename(tmp_path / "moved")
    targets.reopen()
    targets.sink(file)(b"line\n")
    targets.close()
    program.close()
    assert (tmp_path / "moved" / "a.log").read_bytes() == b"line\n"
    (line,) = log.read_text().splitlines()
    assert line.endswith(
        f"WARNING access log {file}: cannot reopen the log {file}: no such file or directory; "
        "the open file stays in use"
    )


def test_a_reader_that_has_gone_is_reported_and_so_is_the_number_of_lines(
    tmp_path: Path, log: Path
) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    program = LineLog(log)
    targets = AccessTargets(program)
    targets.open(frozenset([fifo]))
    sink = targets.sink(fifo)
    os.close(reader)
    sink(b"one\n")
    eventually(lambda: targets.dropped == 1, "one is dropped")
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    sink(b"two\n")
    targets.close()
    program.close()
    assert os.read(reader, 100) == b"two\n"
    os.close(reader)
    broken, counted = log.read_text().splitlines()
    assert f"cannot write the access log to {fifo}: broken pipe; its lines are dropped" in broken
    assert counted.endswith(f"access log {fifo}: 1 line was dropped from the log: broken pipe")


def test_more_lines_than_the_queue_holds_are_counted(
    tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access_targets, "QUEUE", 1000)
    monkeypatch.setattr(access_targets, "EVERY_S", 3600.0)  # until the end
    program, file = LineLog(log), tmp_path / "a.log"
    targets = AccessTargets(program)
    targets.open(frozenset([file]))
    sink = targets.sink(file)
    for _ in range(3000):
        sink(b"x" * 99 + b"\n")
    targets.close()
    program.close()
    written = file.read_bytes().count(b"\n")
    assert written + targets.dropped == 3000
    assert targets.dropped
    assert "dropped from the log: the queue was full, as the target was too slow" in log.read_text()


def test_a_log_server_that_is_away_at_the_end(log: Path) -> None:
    program = LineLog(log)
    targets = AccessTargets(program)
    server = SyslogServer(Address.parse(f"tcp://127.0.0.1:{free_port()}"))
    targets.open(frozenset([server]))
    targets.sink(server)(b"lost\n")
    eventually(lambda: "connection refused; its lines wait" in log.read_text(), "the failure")
    targets.close()
    program.close()
    assert (
        log.read_text()
        .splitlines()[-1]
        .endswith(f"ERROR lines of the access log that were not sent to {server}: 1")
    )
