"""The log: slow and broken targets, dropped lines, and a file that is moved away."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from vcproxy.app.logs.line_file import LineFile
from vcproxy.app.logs.line_writer import QUEUE, LineWriter
from vcproxy.app.logs.log import LineLog
from vcproxy.log_entry import entry
from vcproxy.testing.running import eventually


@contextmanager
def logging_to(file: Path | None = None) -> Iterator[LineLog]:
    """A log that is closed at the end."""
    log = LineLog(file)
    yield log
    log.close()


def writer(target: int | Path) -> LineWriter:
    """A writer that does not format its own lines, and reports no broken target."""
    return LineWriter(LineFile(target, lambda _: None), note=str)


@pytest.fixture
def fifo(tmp_path: Path) -> Path:
    os.mkfifo(tmp_path / "fifo")
    return tmp_path / "fifo"


def reader(fifo: Path) -> int:
    """Open a FIFO for reading, even if it has no writer."""
    return os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)


def lines_of(fd: int) -> list[str]:
    """Return all lines, until the last writer has closed."""
    os.set_blocking(fd, True)
    with open(fd, encoding="utf-8") as file:
        return file.read().splitlines()


# -- targets that do not accept lines -----------------------------------------------------------


def dropped(line: str) -> int:
    """Return the number of dropped lines that a line reports; 0 for all other lines."""
    found = re.search(r"(\d+) lines? (?:was|were) dropped from the log", line)
    return int(found[1]) if found else 0


@pytest.mark.parametrize("blocking", [True, False])
def test_a_pipe_without_a_reader_delays_nothing_and_dropped_lines_are_counted(
    blocking: bool,
) -> None:
    source, sink = os.pipe()
    os.set_blocking(sink, blocking)
    lines = writer(sink)
    count = 3 * QUEUE // 100
    for number in range(count):  # the loop would never end if `write` waited for the reader
        lines.write(f"{number:099}")
    lines.close(timeout_s=0.0)  # closing does not wait either
    place = kept = 0  # index in the log; number of lines that were written
    with open(source, encoding="utf-8") as file:
        while place < count:
            line = file.readline().rstrip("\n")
            if missing := dropped(line):
                assert line.endswith("the queue was full, as the target was too slow")
                place += missing
            else:
                assert line == f"{place:099}"
                place += 1
                kept += 1
    assert place == count
    assert QUEUE // 100 <= kept < count
    os.close(sink)


def test_a_full_disk_puts_one_line_on_standard_error(capfd: pytest.CaptureFixture[str]) -> None:
    with logging_to(Path("/dev/full")) as log:
        for number in range(3):
            log("info", f"number {number}", ValueError("a mistake"))
    (line,) = capfd.readouterr().err.splitlines()
    assert line.endswith(
        "ERROR cannot write the log to /dev/full: no space left on device; "
        "its lines are dropped and counted"
    )


def test_a_recovered_target_gets_the_count_of_dropped_lines(fifo: Path) -> None:
    first = reader(fifo)
    lines = writer(fifo)
    lines.write("one")
    os.set_blocking(first, True)
    assert os.read(first, 99) == b"one\n"
    os.close(first)
    lines.write("two")
    lines.write("three")
    eventually(lambda: lines.dropped == 2, "both refused")
    second = reader(fifo)
    lines.write("four")
    lines.close()
    got = lines_of(second)
    assert got[-1] == "four"
    assert [dropped(line) for line in got[:-1]] == [2]
    assert "broken pipe" in got[0]


def test_a_broken_standard_error_is_not_reported() -> None:
    source, sink = os.pipe()
    os.close(source)
    lines = writer(sink)
    lines.write("unread")
    lines.close()
    os.close(sink)


def test_a_fifo_without_a_reader_is_an_error_and_no_wait(fifo: Path) -> None:
    with pytest.raises(OSError, match="No such device or address"):
        LineLog(fifo)


# -- a file that is moved ------------------------------------------------------------------------


def test_the_log_is_reopened_at_its_path(tmp_path: Path) -> None:
    with logging_to(tmp_path / "log") as log:
        log("info", "before")
        log.reopen()
        log("info", "between")
        eventually(lambda: "between" in (tmp_path / "log").read_text(), "both")
        (tmp_path / "log").rename(tmp_path / "old")
        log.reopen()
        log("info", "after")
    assert (tmp_path / "old").read_text().endswith("INFO between\n")
    assert (tmp_path / "log").read_text().endswith("INFO after\n")
    assert (tmp_path / "log").read_text().count("\n") == 1


def test_a_file_that_cannot_be_reopened_stays_in_use(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    with logging_to(tmp_path / "logs" / "log") as log:
        (tmp_path / "logs").rename(tmp_path / "moved")
        log.reopen()
        log("info", "still here")
    reopened, still = (tmp_path / "moved" / "log").read_text().splitlines()
    assert "cannot reopen the log" in reopened
    assert "no such file or directory; the open file stays in use" in reopened
    assert still.endswith("INFO still here")


# -- an entry ------------------------------------------------------------------------------------


def test_text_from_peers_forges_no_entry_even_in_a_traceback() -> None:
    try:
        raise ValueError("bad\n2026-01-01 00:00:00,000 ERROR forged\x1b[2J")
    except ValueError as error:
        first, *others = entry("error", "a\nb\rc", error).split("\n")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} ERROR a", first)
    assert others[0] == "    b\\x0dc"
    assert all(line.startswith("    ") for line in others)
    assert others[-1] == "    2026-01-01 00:00:00,000 ERROR forged\\x1b[2J"


@pytest.mark.parametrize("kind", ["pipe", "file"])
def test_the_lines_of_several_processes_are_not_mixed(kind: str, tmp_path: Path) -> None:
    """The test uses several writers in one process; they are as independent as several
    processes."""
    file = tmp_path / "log"
    reads, writes = os.pipe()
    writers = [writer(file if kind == "file" else writes) for _ in range(3)]
    lines = {f"{number} {'x' * (index % 300)}" for number in range(3) for index in range(2000)}
    received = bytearray()

    def read() -> None:
        while data := os.read(reads, 1 << 16):
            received.extend(data)

    for number, each in enumerate(writers):
        for index in range(2000):
            each.write(f"{number} {'x' * (index % 300)}")
    reader = threading.Thread(target=read)  # started late, so that each writer has much to write
    reader.start()
    for each in writers:
        each.close(15)
    os.close(writes)
    reader.join()
    os.close(reads)
    written = file.read_text() if kind == "file" else received.decode()
    assert set(written.splitlines()) == lines
    assert written.count("\n") == 6000


def test_a_line_after_the_end_is_counted(tmp_path: Path) -> None:
    lines = writer(tmp_path / "log")
    lines.write("one")
    lines.close()
    lines.write("late")
    assert (lines.dropped, lines._queue) == (1, [])
    assert (tmp_path / "log").read_text() == "one\n"
