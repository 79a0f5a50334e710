"""Output files of commands: written completely or not at all; existing files are replaced only by
--force."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vcproxy.output_files import Exists, written


def names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


def test_the_file_is_there_when_it_is_whole(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with written(out, force=False) as new:
        new.write_text("half")
        assert not out.exists()
        new.write_text("whole")
    assert out.read_text() == "whole"
    assert names(tmp_path) == ["out"]


def half(out: Path) -> None:
    """Write a part, then fail."""
    with written(out, force=True) as new:
        new.write_text("half")
        raise ZeroDivisionError


@pytest.mark.parametrize("before", [None, "before"])
def test_a_failure_leaves_everything_as_it_was(tmp_path: Path, before: str | None) -> None:
    out = tmp_path / "out"
    if before is not None:
        out.write_text(before)
    with pytest.raises(ZeroDivisionError):
        half(out)
    assert names(tmp_path) == ["out"][: before is not None]
    assert before is None or out.read_text() == before


def write(out: Path, text: str, force: bool = False) -> None:
    with written(out, force) as new:
        new.write_text(text)


def test_an_existing_file_is_overwritten_by_force_only(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write(out, "before")
    problem = "out exists: choose another name, or overwrite it with --force"
    with pytest.raises(Exists, match=problem):
        write(out, "after")
    assert out.read_text() == "before"
    write(out, "after", force=True)
    assert out.read_text() == "after"


def overtaken(out: Path) -> None:
    """Write a file that another process writes meanwhile."""
    with written(out, force=False) as new:
        new.write_text("mine")
        out.write_text("theirs")


def test_a_file_that_another_process_made_meanwhile_is_kept(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(Exists):
        overtaken(out)
    assert out.read_text() == "theirs"
    assert names(tmp_path) == ["out"]


def test_a_symbolic_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("real")
    with written(tmp_path / "link", force=False) as new:
        new.write_text("text")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "text"


def test_a_device_is_written_to_as_it_is() -> None:
    mode = os.stat("/dev/null").st_mode
    with written(Path("/dev/null"), force=False) as new:
        new.write_text("text")
    assert os.stat("/dev/null").st_mode == mode


def test_an_error_names_the_file_that_was_asked_for(tmp_path: Path) -> None:
    out = tmp_path / "none" / "out"
    with pytest.raises(FileNotFoundError) as caught:
        write(out, "text")
    assert caught.value.filename == str(out)
