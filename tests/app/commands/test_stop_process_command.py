"""`vcproxy stop-process`: what it sends, what it prints, and its exit status."""

from __future__ import annotations

import os
import pty
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.running import PATIENCE_S, VCPROXY, eventually
from tests.unmeasured import unmeasured
from vcproxy.app import cli
from vcproxy.app.commands import stop_process_command
from vcproxy.app.commands.argument_types import seconds
from vcproxy.app.commands.processes import named

SERVES = """
import signal, sys
ignored = sys.argv[1:]
for name in ("SIGINT", "SIGTERM"):
    signal.signal(getattr(signal, name), signal.SIG_IGN if name in ignored else signal.SIG_DFL)
print("ready", flush=True)
while True:
    signal.pause()
"""

AS_NOBODY = """
import os, pwd, sys
from vcproxy.app import cli
cli.main(["stop-process", "nothing"])  # import all that it needs: nobody may not read that
os.setgroups([])
os.setuid(pwd.getpwnam("nobody").pw_uid)
sys.exit(cli.main(sys.argv[1:]))
"""

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a script with a name of its own, which ignores the signals named; killed at the end."""
    started: list[subprocess.Popen[str]] = []

    def starting(name: str, *ignored: str) -> subprocess.Popen[str]:
        script = tmp_path / name
        script.write_text(SERVES)
        process = subprocess.Popen(
            [sys.executable, script, *ignored],
            stdout=subprocess.PIPE,
            text=True,
            env=unmeasured(),
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    yield starting
    for process in started:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait no 10 s after SIGTERM for processes that ignore it."""
    monkeypatch.setattr(stop_process_command, "AFTER_TERM_S", 0.1)


Printed = pytest.CaptureFixture[str]


def test_a_process_that_ends_on_sigint(start: Start, capsys: Printed, tmp_path: Path) -> None:
    process = start("serves")
    assert cli.main(["stop-process", str(process.pid)]) == 0
    assert process.wait(PATIENCE_S) == -signal.SIGINT
    printed = capsys.readouterr()
    about = f"{process.pid} ({sys.executable} {tmp_path / 'serves'})"
    assert re.fullmatch(re.escape(about) + r": it has ended, after \d+\.\ds\n", printed.out)
    assert printed.err == f"{about}: sent SIGINT; waiting for its end, 1m at most\n"


def test_a_process_is_found_by_the_name_of_its_script(start: Start) -> None:
    name = f"orders-{os.getpid()}.py"
    process = start(name)
    assert cli.main(["stop-process", name]) == 0
    assert process.wait(PATIENCE_S) == -signal.SIGINT


def test_sigterm_follows_where_sigint_is_ignored(start: Start, capsys: Printed) -> None:
    process = start("serves", "SIGINT")
    assert cli.main(["stop-process", "--timeout", "50ms", str(process.pid)]) == 0
    assert process.wait(PATIENCE_S) == -signal.SIGTERM
    sent = re.findall(r": sent (\w+); waiting for its end, (\w+) at", capsys.readouterr().err)
    assert sent == [("SIGINT", "50ms"), ("SIGTERM", "100ms")]


def test_a_process_that_ignores_both_still_runs(start: Start, capsys: Printed) -> None:
    process = start("serves", "SIGINT", "SIGTERM")
    assert cli.main(["stop-process", "-t", "50ms", str(process.pid)]) == 1
    assert process.poll() is None
    assert "it still runs after SIGINT and SIGTERM" in capsys.readouterr().err


def test_a_stopped_process_takes_no_signals(start: Start, capsys: Printed) -> None:
    process = start("serves")
    process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
    assert cli.main(["stop-process", "-t", "0s", str(process.pid)]) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.endswith(
        f"it is stopped, and takes signals when it is continued: kill -CONT {process.pid}"
    )


def test_of_several_of_a_name_none_is_chosen(start: Start, capsys: Printed) -> None:
    name = f"twin-{os.getpid()}"
    twins = sorted(start(name).pid for _ in range(2))
    assert cli.main(["stop-process", name]) == 4
    first, *listed = capsys.readouterr().err.splitlines()
    assert first == (
        f"{name}: 2 processes have this name; nothing was sent. Choose one by its number:"
    )
    assert [int(line.split()[0]) for line in listed] == twins
    assert all(os.path.exists(f"/proc/{pid}/fd/1") for pid in twins)  # they run


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can run a program as another user")
def test_a_process_of_another_user_is_not_found_by_name(
    start: Start, capsys: Printed, tmp_path: Path
) -> None:
    program = shutil.copy("/bin/sleep", f"/tmp/sleep-{os.getpid()}")  # others can read it
    process = subprocess.Popen([program, "1000"], user="nobody")
    try:
        eventually(lambda: any(named(Path(program).name)), "the process of this name")
        assert cli.main(["stop-process", Path(program).name]) == 4
    finally:
        process.kill()
        process.wait()
        os.unlink(program)
    text = capsys.readouterr().err
    assert text.startswith(f"{Path(program).name}: no process of user root has this name")
    assert text.endswith(f"  {process.pid} ({program} 1000), user nobody\n")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can run a program as another user")
def test_a_process_of_another_user_is_not_stopped(start: Start) -> None:
    process = start("serves")
    done = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, "stop-process", str(process.pid)],
        env=unmeasured(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 4
    assert done.stderr.endswith(": not permitted to send it a signal: it belongs to user root\n")
    assert process.poll() is None


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ("no-such-name", "no-such-name: no process has this name"),
        ("4194305", "4194305: no process has this number"),  # above pid_max (proc(5))
        ("99999999999999999999", "99999999999999999999: no process has this number"),
        ("0", "0: it is not the number of a process: invalid argument"),
    ],
)
def test_there_is_no_such_process(given: str, text: str, capsys: Printed) -> None:
    assert cli.main(["stop-process", given]) == 3
    assert capsys.readouterr().err == f"{text}\n"


def test_a_process_that_has_ended_and_is_not_yet_reaped(start: Start, capsys: Printed) -> None:
    process = start("serves")
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert cli.main(["stop-process", str(process.pid)]) == 3
    assert capsys.readouterr().err == f"{process.pid}: it has ended already\n"


def test_a_terminal_shows_the_progress(start: Start) -> None:
    process = start("serves", "SIGINT")
    terminal, other = pty.openpty()
    command = [*VCPROXY, "stop-process", "--timeout", "1.2s", str(process.pid)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=other, check=False)
    os.close(other)
    shown = os.read(terminal, 1 << 16).decode()
    os.close(terminal)
    assert done.returncode == 0
    assert re.search(r"\r\x1b\[K\[#+ +\] 1s of 1200ms", shown)
    assert "sent SIGTERM; waiting for its end, 10s at most" in shown


def test_a_proxy_is_stopped_in_order(tmp_path: Path) -> None:
    file = tmp_path / "proxy.toml"
    file.write_text('[[listener]]\nname = "e"\nbind = "tcp://127.0.0.1:0"\nplugin = "echo"\n')
    with subprocess.Popen([*VCPROXY, "-c", file], stderr=subprocess.PIPE, text=True) as proxy:
        assert proxy.stderr is not None
        while proxy.stderr.readline() != "ready\n":
            pass
        assert cli.main(["stop-process", str(proxy.pid)]) == 0
        assert proxy.wait(PATIENCE_S) == 0


@pytest.mark.parametrize(("text", "value"), [("60", 60), ("0.5s", 0.5), ("5m", 300), ("0", 0)])
def test_a_timeout_is_a_duration_or_a_number_of_seconds(text: str, value: float) -> None:
    assert seconds(text) == value


def test_a_wrong_timeout_is_refused(capsys: Printed) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["stop-process", "--timeout", "soon", "1"])
    assert ended.value.code == 2
    assert '"soon" is not a duration' in capsys.readouterr().err


@pytest.mark.parametrize("command", ["stop-process", "signal", "check-certificate"])
def test_a_timeout_that_no_socket_takes_is_refused(command: str, capsys: Printed) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([command, "--timeout", "99999999999999", "1"])
    assert ended.value.code == 2
    assert '"99999999999999" is too long: at most 366d' in capsys.readouterr().err


@pytest.mark.parametrize("command", ["signal", "check-certificate"])
def test_an_answer_needs_time(command: str, capsys: Printed) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([command, "--timeout", "0", "1"])
    assert ended.value.code == 2
    assert '"0" leaves no time for an answer' in capsys.readouterr().err
