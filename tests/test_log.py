"""The log: a file that is moved away, and one that cannot be opened again."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vcproxy.log import LineLog


@contextmanager
def logging_to(file: Path) -> Iterator[LineLog]:
    """A log that is closed at the end, as that of a program is by its exit."""
    log = LineLog(file)
    yield log
    log._handler.close()


def test_it_is_reopened_at_its_path(tmp_path: Path) -> None:
    with logging_to(tmp_path / "log") as log:
        log("info", "before")
        (tmp_path / "log").rename(tmp_path / "old")
        log.reopen()
        log("info", "after")
    assert (tmp_path / "old").read_text().endswith("INFO before\n")
    assert (tmp_path / "log").read_text().endswith("INFO after\n")


def test_where_it_cannot_be_reopened_it_says_so_and_goes_on(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    with logging_to(tmp_path / "logs" / "log") as log:
        (tmp_path / "logs").rename(tmp_path / "moved")
        log.reopen()
        log("info", "still here")
    reopened, still = (tmp_path / "moved" / "log").read_text().splitlines()
    assert "the log is not reopened: [Errno 2]" in reopened
    assert still.endswith("INFO still here")
