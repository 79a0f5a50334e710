"""The served directory: what is found below it, what is refused, and the log files."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from vcproxy.app.commands.served_directory import ServedDirectory

LOG = "20261130000000echo_Echo.log"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    served = tmp_path / "served"
    (served / "echo").mkdir(parents=True)
    (served / "echo" / "Echo").write_text("#!/bin/sh\n")
    (tmp_path / "outside").write_text("#!/bin/sh\n")
    return served


def test_a_program_below_the_directory(directory: Path) -> None:
    found = ServedDirectory(directory).find("echo/Echo", LOG)

    assert found == (str(directory / "echo" / "Echo"), "", "")


def test_a_relative_directory_is_shown_as_it_was_given(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(directory.parent)
    served = ServedDirectory(Path("served"))

    assert served.shown("echo/Echo") == "served/echo/Echo"
    assert served.find("echo/Echo", LOG)[0] == str(directory / "echo" / "Echo")


def test_a_link_may_lead_to_another_file_of_the_directory(directory: Path) -> None:
    (directory / "echo" / "current").symlink_to("Echo")

    found = ServedDirectory(directory).find("echo/current", LOG)

    assert found == (str(directory / "echo" / "Echo"), "", "")


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("echo/Missing", "no such file or directory"),
        ("echo/Echo/more", "not a directory"),
        ("echo", "not a file"),
        ("echo/fifo", "not a file"),
        ("echo/out", "a symbolic link leads out of the directory"),
        ("echo/up/outside", "a symbolic link leads out of the directory"),
        ("echo/circle", "too many levels of symbolic links"),
        ("x" * 300, "file name too long"),
    ],
)
def test_what_is_refused(directory: Path, path: str, problem: str) -> None:
    (directory / "echo" / "out").symlink_to("../../outside")
    (directory / "echo" / "up").symlink_to("../..")
    (directory / "echo" / "circle").symlink_to("circle")
    os.mkfifo(directory / "echo" / "fifo")

    found = ServedDirectory(directory).find(path, LOG)

    assert found == ("", "", f"{directory / path}: {problem}")


def test_a_log_file_is_created(directory: Path, tmp_path: Path) -> None:
    found = ServedDirectory(directory, logs=tmp_path).find("echo/Echo", LOG)

    assert found == (str(directory / "echo" / "Echo"), str(tmp_path / LOG), "")
    assert (tmp_path / LOG).read_bytes() == b""


def test_without_a_log_file_the_program_is_found_all_the_same(
    directory: Path, tmp_path: Path
) -> None:
    (tmp_path / LOG).mkdir()

    executable, log, problem = ServedDirectory(directory, logs=tmp_path).find("echo/Echo", LOG)

    assert (executable, log) == (str(directory / "echo" / "Echo"), "")
    assert problem == (
        f"{tmp_path / LOG}: cannot be opened: is a directory; it writes to standard output"
    )


def test_logs_are_written_to_the_disk(directory: Path, tmp_path: Path) -> None:
    (tmp_path / "server.log").write_text("Address: 127.0.0.1:42000\n")
    served = ServedDirectory(directory, tmp_path, tmp_path / "server.log")
    _, log, _ = served.find("echo/Echo", LOG)

    assert served.sync((log,)) == ""
    Path(log).write_text("more\n")
    assert served.sync((log,)) == ""


def test_a_log_that_cannot_be_written_is_a_problem_and_stops_no_other(
    directory: Path, tmp_path: Path
) -> None:
    served = ServedDirectory(directory, logs=tmp_path)

    problem = served.sync((str(tmp_path / "a.log"), str(tmp_path / "b.log"), str(directory)))

    assert problem == f"{tmp_path / 'a.log'}: no such file or directory; and 1 more files"


def test_a_directory_that_does_not_exist(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(FileNotFoundError):
        ServedDirectory(tmp_path / "missing")
    with pytest.raises(NotADirectoryError):
        ServedDirectory(tmp_path / "file")


def test_programs_get_the_interpreter_of_the_server(tmp_path: Path) -> None:
    program = tmp_path / "Prints"
    program.write_text("#!/usr/bin/env python3\nimport sys, vcproxy\nprint(sys.executable)\n")
    program.chmod(0o755)
    environment = {**os.environ, **ServedDirectory(tmp_path).environment()}
    printed = subprocess.run([program], env=environment, capture_output=True, text=True, timeout=60)
    assert Path(printed.stdout.strip()).parent == Path(sys.executable).parent, printed.stderr
