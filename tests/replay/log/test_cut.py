"""vcproxy log cut: a log of some conversations only."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.replay.log.conftest import Vcproxy
from tests.replay.log.test_show import numbers
from vcproxy.replay.format.reader import RecordingLog


def test_conversations_are_cut_out_complete(vcproxy: Vcproxy, log: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.log"
    first, orders, *_ = numbers(vcproxy, log)
    status, output, _ = vcproxy("log", "cut", log, "--conversation", f"{orders},{first}", "-o", out)
    assert (status, output) == (0, f"{out}: 2 of 6 conversations\n")
    assert numbers(vcproxy, out) == [first, orders]
    for number in (first, orders):
        timelines = [
            [line.split("  step ")[1].split(maxsplit=1)[1] for line in text.splitlines()]
            for text in (
                vcproxy("log", "show", each, "--conversation", number)[1] for each in (log, out)
            )
        ]
        assert timelines[0] == timelines[1]
    assert out.stat().st_mode & 0o777 == 0o600
    assert out.stat().st_size < log.stat().st_size / 4


def test_a_cut_log_is_marked(vcproxy: Vcproxy, log: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.log"
    vcproxy("log", "cut", log, "--conversation", 1, "-o", out)
    header = RecordingLog(out).header
    assert header.marks == ("cut",)
    assert header.conversations == ((1, 2, 3),)  # the first server refused
    status, _, problem = vcproxy("replay", out)
    assert status == 1
    assert "the log is cut: parts are missing, so it cannot be replayed as recorded" in problem


def test_a_cut_that_keeps_everything_is_a_copy(vcproxy: Vcproxy, log: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.log"
    status, output, _ = vcproxy("log", "cut", log, "--from", "1us", "-o", out)
    assert (status, output) == (0, f"{out}: 6 of 6 conversations: the log is copied unchanged\n")
    assert out.read_bytes() == log.read_bytes()
    assert vcproxy("replay", out)[0] == 0


def test_a_cut_log_can_be_cut_again(vcproxy: Vcproxy, log: Path, tmp_path: Path) -> None:
    once, twice, direct = (tmp_path / f"{name}.log" for name in ("once", "twice", "direct"))
    first, orders, *_ = numbers(vcproxy, log)
    vcproxy("log", "cut", log, "--conversation", f"{first},{orders}", "-o", once)
    vcproxy("log", "cut", once, "--conversation", orders, "-o", twice)
    vcproxy("log", "cut", log, "--conversation", orders, "-o", direct)
    assert [entry for _, entry in RecordingLog(twice).steps() if hasattr(entry, "vc")] == [
        entry for _, entry in RecordingLog(direct).steps() if hasattr(entry, "vc")
    ]


def test_a_time_without_conversations_writes_no_log(
    vcproxy: Vcproxy, log: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.log"
    status, _, problem = vcproxy("log", "cut", log, "--from", "1h", "-o", out)
    assert (status, problem) == (1, f"{log}: no such conversation was open at that time\n")
    assert not out.exists()


def test_the_log_itself_is_never_overwritten(vcproxy: Vcproxy, log: Path) -> None:
    before = log.read_bytes()
    status, _, problem = vcproxy("log", "cut", log, "--conversation", 1, "-o", log)
    assert (status, problem) == (1, f"{log} is the log itself: choose another file\n")
    assert log.read_bytes() == before


@pytest.mark.parametrize("command", ["cut", "redact", "to-test"])
def test_an_existing_file_is_kept(
    vcproxy: Vcproxy, log: Path, tmp_path: Path, command: str
) -> None:
    out = tmp_path / "out"
    out.write_text("mine")
    what = ("--pattern", "ok") if command == "redact" else ("--conversation", 1)
    status, _, problem = vcproxy("log", command, log, *what, "-o", out)
    refusal = f"{out} exists: choose another name, or overwrite it with --force\n"
    assert (status, problem) == (1, refusal)
    assert out.read_text() == "mine"
    assert vcproxy("log", command, log, *what, "-o", out, "--force")[0] == 0
    assert out.read_bytes() != b"mine"
    assert [each.name for each in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("command", ["cut", "redact"])
def test_a_full_disk_is_reported(vcproxy: Vcproxy, log: Path, command: str) -> None:
    what = ("--pattern", "ok") if command == "redact" else ("--conversation", 1)
    status, _, problem = vcproxy("log", command, log, *what, "-o", "/dev/full")
    assert (status, problem) == (1, "/dev/full: no space left on device\n")


def test_a_cut_needs_a_choice(vcproxy: Vcproxy, log: Path, tmp_path: Path) -> None:
    status, _, problem = vcproxy("log", "cut", log, "-o", tmp_path / "out.log")
    assert status == 1
    assert problem == "nothing to cut: choose with --conversation N, or --from T and --to T\n"
    assert vcproxy("log", "cut", log, "--conversation", 1)[0] == 2


def test_an_output_that_cannot_be_written_is_named(
    vcproxy: Vcproxy, log: Path, tmp_path: Path
) -> None:
    out = tmp_path / "none" / "out.log"
    status, _, problem = vcproxy("log", "cut", log, "--conversation", 1, "-o", out)
    assert (status, problem) == (1, f"{out}: No such file or directory\n")
