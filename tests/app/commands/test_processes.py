"""The names of processes, and how they are found."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from tests.e2e.running import eventually
from vcproxy.app.commands.processes import ProcessEntry, find_process, named


def entry(short_name: str, *command: str) -> ProcessEntry:
    return ProcessEntry(7, 0, "S", short_name, command)


@pytest.mark.parametrize(
    ("process", "names"),
    [
        (entry("redis-server", "/usr/bin/redis-server", "*:6379"), {"redis-server"}),
        (entry("nginx", "nginx: master process /usr/sbin/nginx"), {"nginx"}),
        (entry("a-name-of-over-", "./a-name-of-over-15"), {"a-name-of-over-", "a-name-of-over-15"}),
        (entry("vcproxy", "python3.11", "/bin/vcproxy", "-c", "a"), {"vcproxy", "python3.11"}),
        (entry("python3", "python3", "-P", "-m", "vcproxy", "x"), {"python3", "vcproxy"}),
        (entry("python3", "python3", "-W", "error", "-m", "a.b"), {"python3", "a.b"}),
        (entry("python3", "python3", "-m"), {"python3"}),
        (entry("python3", "python3", "-X", "dev", "/srv/orders.py"), {"python3", "orders.py"}),
        (entry("sh", "sh", "-c", "/bin/other"), {"sh"}),
        (entry("bash", "bash"), {"bash"}),
        (entry("kthreadd"), {"kthreadd"}),
    ],
    ids=lambda each: each.short_name if isinstance(each, ProcessEntry) else "",
)
def test_the_names_of_a_process(process: ProcessEntry, names: set[str]) -> None:
    assert process.names == names


def test_a_process_is_found_by_its_names_until_it_has_ended(tmp_path: Path) -> None:
    program = str(shutil.copy("/bin/sleep", tmp_path / f"sleep-{os.getpid()}-of-a-test"))
    process = subprocess.Popen([program, "1000"])
    name = Path(program).name
    try:
        # Popen may return before the kernel has set the new names
        eventually(lambda: any(named(name)), "the process of this name")
        [found] = named(name)
        assert (found.pid, found.user) == (process.pid, os.geteuid())
        assert found.command == (program, "1000")
        assert str(found) == f"{process.pid} ({program} 1000)"
        assert [each.pid for each in named(found.short_name)] == [process.pid]
    finally:
        process.send_signal(signal.SIGKILL)
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert list(named(name)) == []  # though its parent has not been informed yet
        ended = find_process(process.pid)
        process.wait()
    assert ended is not None
    assert ended.state == "Z"
    assert find_process(process.pid) is None


def test_this_process_is_not_found_by_name() -> None:
    own = find_process(os.getpid())
    assert own is not None
    assert os.getpid() not in [each.pid for name in own.names for each in named(name)]
