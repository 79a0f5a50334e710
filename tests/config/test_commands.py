"""Programs that the options of plugins name: `-t` reports those that cannot be executed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.config.conftest import Accept, Complain
from vcproxy.config.loader import Recorded, load

RUNNER = """\
from dataclasses import dataclass
from vcproxy.config.values import ProgramCommand

@dataclass
class Task:
    command: ProgramCommand

@dataclass
class Tasks:
    tasks: tuple[Task, ...]

class Runner:
    vcproxy_plugin = True
    Options = Tasks
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a plugin whose options name programs, and with files to name."""
    (tmp_path / "own.py").write_text(RUNNER)
    (tmp_path / "readable").write_text("#!/bin/sh\n")
    (tmp_path / "run.sh").write_text("#!/bin/sh\n")
    (tmp_path / "run.sh").chmod(0o755)
    return tmp_path


def listener(*commands: object) -> str:
    """Return a file that names commands. JSON's strings and lists are TOML's."""
    tasks = "".join(
        f"[[listener.options.tasks]]\ncommand = {json.dumps(each)}\n" for each in commands
    )
    head = '[[listener]]\nname = "web"\nbind = "tcp://127.0.0.1:0"\nplugin = "own.py:Runner"\n'
    return head + tasks


def test_a_path_is_relative_to_the_file_and_arguments_are_kept(
    folder: Path, accepted: Accept
) -> None:
    configuration = accepted(listener(["./run.sh", "-x", ""], "/bin/sh"))
    assert dict(configuration.plugins["web"].commands) == {
        ("tasks", 0, "command"): (f"{folder}/run.sh", "-x", ""),
        ("tasks", 1, "command"): ("/bin/sh",),
    }


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (["./absent"], "there is no program absent"),
        (["/"], "/ is not a program: it is not a file"),
        (["./readable"], "readable is not executable: allow it with chmod +x"),
        (["sh", "-c"], '"sh" is a name, and PATH is not searched: write the path, as "/'),
        (["nowhere"], 'write the path, as "/usr/bin/nowhere"'),
        ([], "must be a list of a program and its arguments"),
        ([1], "must be a list of a program and its arguments"),
        ({}, "must be a list of a program and its arguments"),
        ([""], "the program's path must not be empty"),
        (["/bin/sh", "a\0"], "no word may contain a NUL byte"),
    ],
)
def test_what_cannot_be_executed_is_reported(
    command: object, reason: str, complaints: Complain
) -> None:
    (line,) = complaints(listener(command))
    assert line.startswith("proxy.toml:6:")
    assert "listener.web.options.tasks.0.command: " in line
    assert reason in line


def test_a_recorded_configuration_may_name_programs_that_are_absent(folder: Path) -> None:
    recorded = Recorded(listener(["/absent"]), {str(folder / "own.py"): RUNNER.encode()})
    configuration = load(folder / "proxy.toml", recorded)
    assert list(configuration.plugins["web"].commands.values()) == [("/absent",)]
