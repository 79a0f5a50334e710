"""The tutorial of machines: its files, commands and output, in their order, with real processes."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

from tests.docs.pages import ROOT, Block, blocks
from tests.e2e.machine_server import MachineServer
from tests.e2e.running import VCPROXY, eventually

PAGE = ROOT / "docs" / "how-to" / "supervised-machines.md"
BLOCKS = blocks(PAGE, "python machine", "console machine", "text machine")


def write(block: Block, folder: Path) -> Path:
    """Write a file to where the comment at its beginning says; a program becomes executable."""
    named = re.search(r"^# ([\w/.]+)$", block.text, re.MULTILINE)
    assert named
    file = folder / named[1]
    file.parent.mkdir(parents=True, exist_ok=True)
    fresh = file.with_name("fresh")
    fresh.write_text(block.text)
    fresh.chmod(0o755)
    fresh.replace(file)
    return file


def masked(text: str) -> str:
    """Replace what differs between runs: free ports, and pids."""
    text = re.sub(r"(127\.0\.0\.1):\d{5}\b", r"\1:PORT", text)
    return re.sub(r"^(?:\d{5}|(\d{4})),\d+,", r"\1,PID,", text, flags=re.MULTILINE)


def run(command: str, host: str) -> str:
    """Run a command with the server of the test; return its output, as at the usual address."""
    assert command.startswith("$ vcproxy machine ")
    verb, *words = shlex.split(command)[3:]
    if verb == "list":
        words.append(host)
    elif verb == "start" and len(words) == 1:
        words.append(f"{host}:0")
    words = [f"{host}{word}" if re.fullmatch(r":\d+", word) else word for word in words]
    done = subprocess.run(
        [*VCPROXY, "machine", verb, *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout.replace(host, "127.0.0.1") + done.stderr


def check_session(session: str, server: MachineServer) -> None:
    """Run the commands of a terminal session; check the output of each."""
    for part in re.split(r"^(?=\$ )", session, flags=re.MULTILINE)[1:]:
        command, _, output = part.partition("\n")
        check(command, masked(output), server)


def check(command: str, output: str, server: MachineServer) -> None:
    """Run a command; check its output.

    A machine is in the list, or out of it, a moment after it was started or stopped. A reader does
    not send a message to a machine that was stopped so fast that the old process still gets it.
    """
    if command.startswith("$ vcproxy machine list"):
        eventually(lambda: masked(run(command, server.host)) == output, f"{command}: {output}")
        return
    ended = server.log.count(" Ended: ")
    assert masked(run(command, server.host)) == output, command
    if command.startswith("$ vcproxy machine stop"):
        eventually(lambda: server.log.count(" Ended: ") > ended, "the machine has ended")


def check_log(lines: list[str], server: MachineServer) -> None:
    """The log has these lines, in this order."""

    def logged() -> bool:
        log = masked(server.log.replace(server.host, "127.0.0.1"))
        every = [re.sub(r"^\d\S+ \S+ ", "", line) for line in log.splitlines()]
        return [line for line in every if line in lines] == lines

    eventually(logged, f"the log has {lines}")


def test_a_reader_gets_what_the_tutorial_shows(tmp_path: Path) -> None:
    machines = tmp_path / "machines"
    machines.mkdir()
    server = MachineServer(machines)
    try:
        for block in BLOCKS:
            if block.info == "python machine":
                write(block, tmp_path)
            elif block.info == "console machine":
                check_session(block.text, server)
            else:
                check_log(masked(block.text).splitlines(), server)
    finally:
        server.close()


def test_its_test_passes(tmp_path: Path) -> None:
    for block in BLOCKS:
        if block.info == "python machine":
            write(block, tmp_path)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_shop.py"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
