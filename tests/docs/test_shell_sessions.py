"""Pages with shell sessions: their files are written, their proxies started, their commands run.

A block `shell-session` has commands after `$ `, each followed by what it prints.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT, Block, blocks, name
from tests.e2e.running import PATIENCE_S, Running, free_port

having_sessions = [page for page in PAGES if blocks(page, "shell-session")]

PORTS = {port: str(free_port()) for port in ("15000", "15001", "15002", "4041", "3001", "3002")}

VARYING = re.compile(
    r"(?P<time>1796020715)|(?P<date>2026-12-10 07:00:00)|(?P<seconds>1\.0s)|(?P<pid>4713)"
    r"|(?<=uptime         )(?P<uptime>3)"
    r"|(?<=lag            )(?P<lag>0\.000)|(?P<host>web-1)|(?P<command>\(\.\.\.\))"
)
"""What differs from run to run in the output."""

MATCHING = {
    "date": r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d",
    "seconds": r"\d+\.\d+s",
    "pid": r"\d+",
    "time": r"\d+(?:\.\d+)?",
    "uptime": r"\d+",
    "lag": r"\d+\.\d+",
    "host": r"[\w.-]+",
    "command": r"\(.*\)",
}


def pattern(output: str) -> str:
    """Return the regular expression for an output of the page."""
    parts, end = [], 0
    for found in VARYING.finditer(output):
        parts += [re.escape(output[end : found.start()]), MATCHING[str(found.lastgroup)]]
        end = found.end()
    return "".join([*parts, re.escape(output[end:])])


class Desk:
    """The folder in which a reader works, with the proxies that run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.proxies: dict[str, Running] = {}
        self.numbers: dict[str, str] = {}
        """The numbers of the processes, by those that the page shows."""
        self.ran = 0
        """How many commands were run."""

    def here(self, text: str) -> str:
        """Replace ports and numbers of processes of the page by those of this run."""
        known = PORTS | self.numbers
        return re.sub(rf"\b({'|'.join(known)})\b", lambda found: known[found[0]], text)

    def follow(self, block: Block) -> None:
        """Do what a block is for."""
        titled = re.match(r"# ([\w./]+\.\w+)\n", block.text)
        if block.info in ("toml", "python") and titled:
            place = self.folder / titled[1]
            place.parent.mkdir(exist_ok=True)
            place.write_text(self.here(block.text))
        elif block.info == "text" and "[[listener]]" in block.text:
            with (self.folder / "bus.toml").open("a") as file:
                file.write("\n" + self.here(block.text))
        elif block.info == "sh":
            for command in block.commands:
                if command[:2] == ["vcproxy", "-c"]:
                    self.start(command[2])
        elif block.info == "shell-session":
            for line, output in dialogues(block):
                self.run(line, output)

    def start(self, file: str) -> None:
        """Start a proxy; one that runs already is ended before."""
        if file in self.proxies:
            ended = self.proxies.pop(file)
            ended.stop()
            ended.kill()  # closes its pipes
        if (ROOT / file).exists():  # it is in the project
            text = (
                (ROOT / file)
                .read_text()
                .replace('"dialogue.py"', f'"{ROOT}/samples/bus/dialogue.py"')
            )
            conf = self.folder / Path(file).name
            conf.write_text(self.here(text))
        else:
            conf = Path(file)
        self.proxies[file] = Running(conf)
        shown = ("4711", "4712")[len(self.proxies) - 1]
        self.numbers[shown] = str(self.proxies[file].pid)

    def run(self, command: str, output: str) -> None:
        """Run a command of the page, and compare what it prints."""
        done = subprocess.run(
            ["sh", "-c", self.here(command)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        self.ran += 1
        os.environ["STATUS"] = str(done.returncode)
        wanted = pattern(self.here(output))
        assert re.fullmatch(wanted, done.stdout), f"$ {command}\n{done.stdout}\nnot\n{output}"


def dialogues(block: Block) -> Iterator[tuple[str, str]]:
    """Yield each command of a block, with the output that follows it."""
    for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        command, _, output = part.partition("\n")
        yield command.replace("echo $?", "echo $STATUS"), output


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    programs = tmp_path / "programs"
    programs.mkdir()
    script = programs / "vcproxy"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} -m vcproxy "$@"\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("STATUS", "")
    monkeypatch.chdir(tmp_path)
    desk = Desk(tmp_path)
    with tempfile.TemporaryDirectory() as runtime:  # paths of sockets must be short
        monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
        yield desk
        for proxy in desk.proxies.values():
            proxy.kill()


@pytest.mark.parametrize("page", having_sessions, ids=name)
def test_each_command_prints_what_the_page_shows(page: Path, desk: Desk) -> None:
    for program in ("curl", "htpasswd", "openssl", "socat"):
        if program in page.read_text() and not shutil.which(program):
            pytest.skip(f"{program} is not installed")
    for block in blocks(page):
        desk.follow(block)
    assert desk.ran > 3
    for proxy in desk.proxies.values():
        proxy.stop()  # also one that a command has stopped: with status 0
