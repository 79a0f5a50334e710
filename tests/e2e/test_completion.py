"""Completion of command lines in real shells."""

from __future__ import annotations

import os
import select
import subprocess
import time
from pathlib import Path

import pytest

from tests.e2e.conftest import Tools
from tests.e2e.running import PATIENCE_S, VCPROXY

LINES = {
    "vcproxy compl": {"completion"},
    "vcproxy ctl show conn": {"conns"},
    "vcproxy ctl show --sor": {"--sort"},
    "vcproxy ctl server web/a:80 dr": {"drain"},
    "vcproxy diagram --format m": {"mermaid"},
    "vcproxy diagram http_": {"http_proxy"},
    "vcproxy completion f": {"fish"},
    "vcproxy -c own": {"own.toml"},
}
"""Command lines, and what their last words may be completed to."""


@pytest.fixture
def scripts(tmp_path: Path) -> Path:
    """A folder with the scripts, and with own.toml."""
    (tmp_path / "own.toml").touch()
    for shell in ("bash", "zsh", "fish"):
        text = subprocess.check_output([*VCPROXY, "completion", shell])
        (tmp_path / ("_vcproxy" if shell == "zsh" else f"vcproxy.{shell}")).write_bytes(text)
    return tmp_path


BASH = """
cd "$1" || exit
. ./vcproxy.bash
function=$(complete -p vcproxy | sed 's/.*-F \\([^ ]*\\) .*/\\1/')
while read -r line; do
    read -ra COMP_WORDS <<<"$line"
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1)) COMP_LINE=$line COMP_POINT=${#line} COMPREPLY=()
    "$function" vcproxy "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
    echo "${COMPREPLY[*]}"
done
"""
"""A script that does what readline does with the function that `complete` names."""


def test_bash(scripts: Path, tools: Tools) -> None:
    lines = "\n".join(LINES).encode() + b"\n"
    found = tools.run("bash", "-c", BASH, "bash", str(scripts), stdin=lines).decode()
    assert [set(line.split()) for line in found.splitlines()] == list(LINES.values())


def test_fish(scripts: Path, tools: Tools) -> None:
    for line, expected in LINES.items():
        program = f"cd {scripts}; source vcproxy.fish; complete -C {line!r}"
        found = tools.run("fish", "--no-config", "-c", program).decode()
        assert {each.partition("\t")[0] for each in found.splitlines()} == expected, line


ZSHRC = """
fpath+=($ZDOTDIR)
autoload -U compinit
compinit -u -D
PS1='ready>'
"""
"""The start of a shell with completion, without checks of owners, and without a cache."""


def test_zsh(scripts: Path, tools: Tools) -> None:
    """A tab in a terminal, because zsh has no other way to complete."""
    tools.require("zsh")
    (scripts / ".zshrc").write_text(ZSHRC)
    ours, theirs = os.openpty()
    environment = {**os.environ, "ZDOTDIR": str(scripts), "TERM": "dumb"}
    shell = subprocess.Popen(
        ["zsh", "-i"], cwd=scripts, env=environment, stdin=theirs, stdout=theirs, stderr=theirs
    )
    try:
        read_until(ours, "ready>")
        for line, (expected,) in LINES.items():
            os.write(ours, line.encode() + b"\t")
            read_until(ours, line.rpartition(" ")[0] + " " + expected)
            os.write(ours, b"\x15")  # clears the line
    finally:
        shell.kill()
        shell.wait()
        os.close(ours)
        os.close(theirs)


def read_until(terminal: int, text: str) -> None:
    """Read from a terminal until a text has come."""
    deadline, seen = time.monotonic() + PATIENCE_S, ""
    while text not in seen:
        left = deadline - time.monotonic()
        assert select.select([terminal], [], [], max(left, 0))[0], f"{text!r} is not in {seen!r}"
        seen += os.read(terminal, 4096).decode(errors="replace")


def test_without_the_library_it_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "shtab.py").write_text("raise ImportError\n")
    command = [*VCPROXY, "completion", "bash"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.endswith("which is not installed: pip install shtab\n")
