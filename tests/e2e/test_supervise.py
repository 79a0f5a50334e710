"""supervise with real programs: killed ones, deaf ones, reloads, the end of the proxy."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.e2e.conftest import Starter
from tests.e2e.running import ECHO, VCPROXY, Running, all_of, eventually, free_port
from tests.e2e.several import workers
from tests.e2e.test_signals import rewrite

CHILD = """\
#!/bin/sh
# Notes its start and its end. It ends with its parent, too, so that a failed test leaves nothing.
trap 'echo "$1 ends" >> "$2"; exit 0' TERM
echo "$1 runs" >> "$2"
while kill -0 $PPID; do sleep 0.05; done
"""

DEAF = """\
#!/bin/sh
trap '' TERM
echo "$1 runs" >> "$2"
while kill -0 $PPID; do sleep 0.05; done
"""


class Folder:
    """The programs, the file in which they note what happens, and the configuration."""

    def __init__(self, path: Path) -> None:
        self.notes = path / "notes"
        self.notes.touch()
        self.path = path
        for name, text in {"child.sh": CHILD, "deaf.sh": DEAF}.items():
            (path / name).write_text(text)
            (path / name).chmod(0o755)

    def child(self, name: str, program: str = "./child.sh", more: str = "") -> str:
        """Return the table of a child."""
        command = f'["{program}", "{name}", "{self.notes}"]'
        if "output" not in more:  # else it would keep the pipe of the test open
            more += f'\noutput = "{self.path}/output"'
        return f'\n[[listener.options.children]]\nname = "{name}"\ncommand = {command}\n{more}\n'

    def text(self, *children: str, options: str = "", listener: str = ECHO) -> str:
        head = f'[[listener]]\nname = "side"\nplugin = "supervise"\n[listener.options]\n{options}\n'
        return head + "".join(children) + listener

    def noted(self, text: str) -> None:
        """Wait until these lines have been noted, separated by commas, and no others.

        Programs that start at the same time note it in any order.
        """
        wanted = text.split(", ")

        def same() -> bool:
            lines = self.notes.read_text().splitlines()
            ends = [[each for each in some if "ends" in each] for some in (lines, wanted)]
            return sorted(lines) == sorted(wanted) and ends[0] == ends[1]

        eventually(same, text)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def pids(running: Running, name: str, times: int = 1) -> list[int]:
    """Return the processes of a program, once it has run so many times. The program itself may be
    faster than the log."""
    running.wait_for(f"side: child {name} runs as process", times)
    return list(map(int, re.findall(rf"side: child {name} runs as process (\d+)", running.log)))


def finish(running: Running) -> None:
    """End the proxy. `Running.stop` would wait until the descriptors of the children are closed."""
    running.signal(signal.SIGTERM)
    running.wait()
    running.stop()


def gone(pid: int) -> bool:
    """Whether a process has ended and was reaped."""
    return not Path(f"/proc/{pid}").exists()


def test_killed_programs_are_replaced_and_the_end_is_in_order(
    folder: Folder, vcproxy: Starter
) -> None:
    running = vcproxy(folder.text(*map(folder.child, "abc"), options='strategy = "rest_for_one"'))
    folder.noted("a runs, b runs, c runs")
    (killed,) = pids(running, "b")
    os.kill(killed, signal.SIGKILL)
    running.wait_for("child b was killed by SIGKILL; it and those after it are started again")
    folder.noted("a runs, b runs, c runs, c ends, b runs, c runs")
    everyone = [pid for name in "abc" for pid in pids(running, name, 1 if name == "a" else 2)]
    finish(running)
    folder.noted("a runs, b runs, c runs, c ends, b runs, c runs, c ends, b ends, a ends")
    assert "stopping child processes: 3, 10s at most" in running.log
    assert [pid for pid in everyone if not gone(pid)] == []


def test_a_program_that_ignores_sigterm_is_killed(folder: Folder, vcproxy: Starter) -> None:
    deaf = folder.child("b", "./deaf.sh", 'shutdown = "300ms"')
    running = vcproxy(folder.text(folder.child("a"), deaf))
    folder.noted("a runs, b runs")
    began = time.monotonic()
    finish(running)
    assert time.monotonic() - began >= 0.3
    running.wait_for("WARNING side: child b has not ended within 300ms: it is killed")
    folder.noted("a runs, b runs, a ends")
    assert gone(*pids(running, "b"))


def test_what_still_runs_at_the_drain_timeout_is_killed(folder: Folder, vcproxy: Starter) -> None:
    drain = '[proxy]\ndrain_timeout = "300ms"\n'
    running = vcproxy(drain + folder.text(folder.child("a", "./deaf.sh"), listener=""))
    folder.noted("a runs")
    finish(running)
    assert gone(*pids(running, "a"))


def test_when_restarts_do_not_help_the_proxy_goes_on(folder: Folder, vcproxy: Starter) -> None:
    failing = folder.child("b", "/bin/false")
    running = vcproxy(folder.text(folder.child("a"), failing, options="intensity = 2"))
    running.wait_for("child b exited with status 1, after more than 2 restarts in 10s; all are")
    running.wait_for("ERROR side: all children have ended; the proxy goes on without them")
    folder.noted("a runs, a ends")
    with running.connect("echo") as client:
        client.sendall(b"still here")
        assert client.recv(100) == b"still here"
    finish(running)


def test_or_the_proxy_ends(folder: Folder, vcproxy: Starter) -> None:
    failing = folder.child("b", "/bin/sh", 'restart = "raise"')  # no such script: status 2
    running = vcproxy(folder.text(folder.child("a"), failing, options='on_failure = "stop"'))
    assert running.wait() == 3
    running.status = 0  # as expected: `stop` finds nothing wrong
    assert "side: all children have ended; the proxy stops" in running.log
    folder.noted("a runs, a ends")


def test_a_reload_leaves_programs_alone_and_ends_those_of_a_removed_listener(
    folder: Folder, vcproxy: Starter
) -> None:
    before = folder.text(folder.child("a"), folder.child("b"))
    running = vcproxy(before)
    folder.noted("a runs, b runs")
    rewrite(running, before.replace('name = "b"', 'name = "c"'))
    running.wait_for("listener.side has changed: restart the proxy for its program")
    folder.noted("a runs, b runs")
    rewrite(running, ECHO)
    folder.noted("a runs, b runs, b ends, a ends")
    eventually(lambda: gone(pids(running, "a")[0]), "a is reaped")
    finish(running)


def test_output_directory_and_environment(folder: Folder, vcproxy: Starter) -> None:
    more = """
        directory = "."
        output = "said"
        environment = { GREETING = "hello" }
        restart = "temporary"
    """
    said = folder.child("a", "/bin/sh", more).replace(
        '"a", "', '"-c", "echo $GREETING $PWD; echo wrong >&2", "'
    )
    running = vcproxy(folder.text(said))
    running.wait_for("child a exited with status 0; it is not started again")
    file = folder.path / "said"
    assert file.read_text() == f"hello {folder.path}\nwrong\n"
    finish(running)


def test_the_example_serves_again_after_a_kill(folder: Folder, vcproxy: Starter) -> None:
    text = (Path(__file__).parents[2] / "conf" / "supervise.toml").read_text()
    for port in ("7200", "7201"):
        text = text.replace(port, str(free_port()))
    output = f'output = "{folder.path}/output"'
    running = vcproxy(text.replace('# output = "web.log"', output))

    def served() -> bool:
        with running.connect("front") as client:
            client.sendall(b"GET / HTTP/1.0\r\nHost: a.example\r\n\r\n")
            return b" 200 " in all_of(client).partition(b"\r\n")[0]

    eventually(served, "a page of the web server")
    os.kill(pids(running, "web")[0], signal.SIGKILL)
    running.wait_for("child web was killed by SIGKILL; it is started again")
    pids(running, "web", 2)
    eventually(served, "a page of the new web server")
    finish(running)


def test_a_recording_of_ends_is_replayed_without_the_programs(
    folder: Folder, vcproxy: Starter
) -> None:
    log = folder.path / "run.log"
    record = f'[record]\nfile = "{log}"\n'
    running = vcproxy(record + folder.text(*map(folder.child, "ab")))
    folder.noted("a runs, b runs")
    os.kill(pids(running, "a")[0], signal.SIGKILL)
    pids(running, "a", 2)
    folder.noted("a runs, b runs, a runs")
    finish(running)
    for script in folder.path.glob("*.sh"):
        script.unlink()
    noted = folder.notes.read_text()
    replay = subprocess.run([*VCPROXY, "replay", log], capture_output=True, text=True, check=False)
    assert replay.returncode == 0, replay.stderr
    assert folder.notes.read_text() == noted


def test_with_several_workers_a_program_runs_once(folder: Folder, vcproxy: Starter) -> None:
    running = vcproxy("[proxy]\nworkers = 2\n" + folder.text(*map(folder.child, "ab")))
    folder.noted("a runs, b runs")
    everyone = pids(running, "a") + pids(running, "b")
    finish(running)
    folder.noted("a runs, b runs, b ends, a ends")
    assert all(map(gone, everyone))


def test_programs_of_a_killed_worker_are_killed_and_started_again(
    folder: Folder, vcproxy: Starter
) -> None:
    running = vcproxy("[proxy]\nworkers = 2\n" + folder.text(*map(folder.child, "ab")))
    left = pids(running, "a") + pids(running, "b")
    os.kill(workers(running)[0], signal.SIGKILL)
    running.wait_for("worker 1: the programs that it has left are killed: ")
    alive = [pids(running, name, 2)[-1] for name in "ab"]
    assert not set(alive) & set(left)
    eventually(lambda: all(map(gone, left)), "the programs of the killed worker are gone")
    finish(running)
    assert all(map(gone, alive))


def test_a_storm_of_kills(folder: Folder, vcproxy: Starter) -> None:
    """Each program is killed four times; none is lost, none runs twice, none is left."""
    names = ["a", "b", "c"]
    running = vcproxy(folder.text(*map(folder.child, names), options="intensity = 1000"))
    for round_ in range(1, 5):
        for name in names:
            os.kill(pids(running, name, round_)[-1], signal.SIGKILL)
    alive = [pid for name in names for pid in pids(running, name, 5) if not gone(pid)]
    assert len(alive) == 3
    finish(running)
    assert all(map(gone, alive))
