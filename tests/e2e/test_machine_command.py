"""`vcproxy machine` with real processes: a server, its commands, and machines of other programs."""

from __future__ import annotations

import os
import random
import re
import select
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.e2e.machine_server import MACHINE, MachineServer
from tests.e2e.running import PATIENCE_S, VCPROXY, eventually, free_port


@pytest.fixture
def served(tmp_path: Path) -> Iterator[MachineServer]:
    """A server of an empty directory."""
    directory = tmp_path / "machines"
    directory.mkdir()
    server = MachineServer(directory)
    yield server
    server.close()


def _ends(pid: int) -> bool:
    """Wait until a process has ended; return False if it runs on."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([pidfd], [], [], 10.0)[0])
    finally:
        os.close(pidfd)


def alive(pid: int) -> bool:
    """Whether a process exists, also as a zombie."""
    return Path(f"/proc/{pid}").exists()


def test_start_list_send_stop(served: MachineServer) -> None:
    served.add("echo/Echo")

    port = served.start("echo/Echo#1")
    ((pid, name),) = served.registered(1).values()
    assert name == "echo/Echo#1"
    assert alive(pid)

    done = served.run("send", "-r", "2", f"{served.host}:{port}", "who", "hello world")
    assert done.returncode == 0
    machine = f"{served.host}:{port}"
    prefix = rf"127\.0\.0\.1:\d+ < {machine} "
    sent = f"> {machine} who\n> {machine} hello world\n"
    assert re.fullmatch(rf"{sent}{prefix}1 {pid}\n{prefix}hello world\n", done.stdout), done.stdout

    done = served.run("list", served.host)
    own = done.stdout.splitlines()[1].split()[0]
    assert done.stdout == (
        f"> {served.host}:42000 list\n"
        f"{own} < {served.host}:42000 Port,PID,Machine\n"
        f"{port},{pid},echo/Echo#1\n"
    )

    done = served.run("stop", f"{served.host}:{port}")
    sent = f"> {served.host}:42000 stop {port}\n"
    assert (done.returncode, done.stdout, done.stderr) == (0, sent, "")
    served.wait_for(rf"INFO Killing: {port} : {pid}")
    served.wait_for(rf"INFO Ended: {pid} echo/Echo#1, exit status 0")
    assert served.list() == {}
    assert not alive(pid)
    assert served.end() == 0


def test_the_transcript_of_a_start(served: MachineServer) -> None:
    """The lines of the original's server, and those of the machine between them."""
    served.add("echo/Echo")
    port = served.start("echo/Echo")
    served.registered(1)

    times = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} INFO "
    for pattern in (
        rf"^{times}Directory: {served.directory}$",
        rf"^{times}Address: {served.host}:42000$",
        rf"^{times}< 127.0.0.1:\d+ start echo/Echo :0$",
        rf"^{times}Forked: \d+$",
        r"^echo/Echo started$",
        rf"^{times}< {served.host}:{port} register echo/Echo \d+$",
    ):
        served.wait_for(pattern)


def test_follow_prints_until_the_machine_has_exited(served: MachineServer) -> None:
    served.add("useless/Useless", MACHINE.replace("self.ending = False", "self.ending = True"))

    done = served.run("start", "-f", "true", "useless/Useless", served.host)
    assert done.returncode == 0
    _, *received = done.stdout.splitlines()
    assert [line.split(" < ")[1].split()[1:] for line in received] == [
        ["started", "useless/Useless"],
        ["exited", "useless/Useless"],
    ]


def test_programs_that_cannot_be_started(served: MachineServer, tmp_path: Path) -> None:
    served.add("a/Plain", mode=0o644)
    served.add("a/Interpreter").write_text("#!/no/such/interpreter\n")
    served.add("a/Text").write_text("no program\n")
    served.add("a/False").write_text("#!/bin/sh\nexit 3\n")
    served.add("a/Killed").write_text("#!/bin/sh\nkill -9 $$\n")
    (tmp_path / "Outside").write_text("#!/bin/sh\n")
    (tmp_path / "Outside").chmod(0o755)
    (served.directory / "a" / "Link").symlink_to(tmp_path / "Outside")

    missing = served.refused("a/Missing")
    assert missing == f"{served.directory}/a/Missing: no such file or directory"
    assert served.refused("a/Plain").endswith("a/Plain: it is not executable (chmod +x)")
    assert "/no/such/interpreter" in served.refused("a/Interpreter")
    assert str(served.directory / "a" / "Text") in served.refused("a/Text")
    assert "a symbolic link leads out of the directory" in served.refused("a/Link")
    assert 'leads out of the served directory with ".."' in served.refused("../Outside")
    assert "it is an absolute path" in served.refused("/bin/true")
    ended = "its process has ended before it registered: "
    see = "see the output of the server"
    assert served.refused("a/False") == f"{ended}exit status 3; {see}"
    assert served.refused("a/Killed") == f"{ended}killed by signal 9; {see}"
    assert served.list() == {}


def test_a_program_that_forks_away(served: MachineServer, tmp_path: Path) -> None:
    """Its first process is the one that was started; what it leaves behind is killed."""
    away = tmp_path / "pid"
    served.add("a/Away").write_text(
        f"#!/bin/sh\nsleep 600 > /dev/null 2>&1 &\necho $! > {away}\nexit 0\n"
    )
    ended = "its process has ended before it registered: exit status 0; "
    assert served.refused("a/Away") == f"{ended}see the output of the server"
    assert served.list() == {}
    assert _ends(int(away.read_text()))


def test_a_port_in_use(served: MachineServer) -> None:
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as other:
        other.bind((served.host, 0))
        served.add("echo/Echo")
        done = served.run("start", "echo/Echo", f"{served.host}:{other.getsockname()[1]}")

    assert done.returncode == 255
    assert "its process has ended before it registered: exit status 1" in done.stdout
    assert "Address already in use" in served.log


def test_a_killed_machine_is_reaped_and_not_listed(served: MachineServer) -> None:
    served.add("echo/Echo")
    served.start("echo/Echo")
    ((pid, _),) = served.registered(1).values()

    os.kill(pid, signal.SIGKILL)
    served.wait_for(rf"WARNING Ended: {pid} echo/Echo, killed by signal 9")
    assert served.list() == {}
    assert not alive(pid)


UPGRADED = """
import pathlib, time
class Slow(WireMachine):
    def run(self) -> None:
        super().run()
        self.socket.close()
        while not pathlib.Path(self.arguments[0]).exists():
            time.sleep(0.01)
"""


def test_live_upgrade(served: MachineServer, tmp_path: Path) -> None:
    """The new program takes the port; messages wait for it; its neighbour is not touched.

    The old machine closes its socket, and runs on until the test lets it end.
    """
    port = free_port(socket.SOCK_DGRAM)
    may_end = tmp_path / "may-end"
    old = MACHINE.replace('if __name__ == "__main__":', UPGRADED + 'if __name__ == "__main__":')
    served.add("switch/Switch", old.replace("    WireMachine().run()", "    Slow().run()"))
    served.add("echo/Echo")
    served.start("switch/Switch", port, str(may_end))
    neighbour = served.start("echo/Echo")
    before = served.registered(2)

    served.add("switch/Switch", MACHINE.replace('VERSION = "1"', 'VERSION = "2"'))
    command = [*VCPROXY, "machine", "start", "switch/Switch", f"{served.host}:{port}"]
    starting = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    served.wait_for(rf"< {served.host}:{port} unregister")
    command = [*VCPROXY, "machine", "send", "-r", "1", "--profile", "patient"]
    sending = subprocess.Popen(
        [*command, f"{served.host}:{port}", "who"], stdout=subprocess.PIPE, text=True
    )
    assert alive(before[port][0])

    may_end.touch()
    sent, _ = sending.communicate(timeout=2 * PATIENCE_S)
    started, _ = starting.communicate(timeout=2 * PATIENCE_S)
    after = served.registered(2)
    assert (starting.returncode, sending.returncode) == (0, 0)
    assert started.endswith(f" < {served.host}:{port} started switch/Switch\n")
    assert sent.endswith(f" < {served.host}:{port} 2 {after[port][0]}\n")
    assert after[port][0] != before[port][0]
    assert after[neighbour] == before[neighbour]
    assert not alive(before[port][0])


def test_what_the_server_has_not_started_is_not_signalled(served: MachineServer) -> None:
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as forger:
        forger.bind((served.host, 0))
        forger.settimeout(PATIENCE_S)
        victim = subprocess.Popen(["sleep", "600"])
        try:
            port = forger.getsockname()[1]
            for number, text in enumerate((f"register x {victim.pid}", f"stop {port}")):
                datagram = number.to_bytes(8, "little") + text.encode()
                forger.sendto(datagram, (served.host, 42_000))
                assert forger.recv(100) == datagram[:8] + b"ack"
            served.wait_for(rf"not registered: process {victim.pid} was not started by this")
            served.wait_for(rf"stop {port}: this server has no machine there")
            assert served.list() == {}
            assert victim.poll() is None
        finally:
            victim.kill()
            victim.wait()


def test_a_flood_of_malformed_datagrams(served: MachineServer) -> None:
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as flood:
        for size in range(5000):
            flood.sendto(b"x" * (size % 8), (served.host, 42_000))

    assert served.list() == {}
    assert served.log.count("dropped") < 100


def test_the_server_ends_its_machines(served: MachineServer) -> None:
    served.add("echo/Echo")
    for number in range(3):
        served.start(f"echo/Echo#{number}")
    pids = [pid for pid, _ in served.registered(3).values()]

    assert served.end(signal.SIGINT) == 0
    assert [pid for pid in pids if alive(pid)] == []
    assert served.log.count("exit status 0") == 3


def test_networks_that_are_not_allowed_get_no_answer(tmp_path: Path) -> None:
    server = MachineServer(tmp_path, "--allow", "10.0.0.0/8")
    try:
        for host in ("127.0.0.1", server.host):
            with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as client:
                client.bind((host, 0))
                client.settimeout(PATIENCE_S)
                client.sendto(bytes(8) + b"list", (server.host, 42_000))
                if host == server.host:
                    assert client.recv(100) == bytes(8) + b"ack"
                    assert client.recv(100) == bytes(8) + b"Port,PID,Machine\n"
                else:
                    server.wait_for("a datagram was dropped: its sender is not in an allowed netw")
                    client.setblocking(False)
                    with pytest.raises(BlockingIOError):
                        client.recv(100)
    finally:
        server.process.kill()
        server.close()


def test_a_server_ends_with_its_terminal_unless_nohup_has_started_it(tmp_path: Path) -> None:
    (tmp_path / "served").mkdir()
    server = MachineServer(tmp_path / "served")
    assert server.end(signal.SIGHUP) == 0

    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        server = MachineServer(tmp_path / "served")  # it inherits that
    finally:
        signal.signal(signal.SIGHUP, before)
    server.process.send_signal(signal.SIGHUP)
    assert server.list() == {}
    assert server.end() == 0


def test_a_second_server_at_the_address(served: MachineServer) -> None:
    done = served.run("serve", str(served.directory), "--address", served.host)

    assert done.returncode == 255
    assert "the server cannot start: " in done.stderr
    assert f"{served.host}:42000" in done.stderr


def test_a_log_for_each_machine(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    (tmp_path / "machines").mkdir()
    server = MachineServer(tmp_path / "machines", "--logs", str(logs))
    try:
        server.add("family/Child")
        server.start("family/Child#Alice")
        server.registered(1)
    finally:
        assert server.end() == 0

    named = {re.fullmatch(r"(\d{14})(.*)", file.name)[2]: file for file in logs.iterdir()}  # type: ignore[index]
    assert sorted(named) == ["family_Child_Alice.log", "server.log"]
    assert named["family_Child_Alice.log"].read_text() == (
        "family/Child#Alice started\nfamily/Child#Alice exited\n"
    )
    assert "INFO Forked: " in named["server.log"].read_text()
    assert server.log == "ready"


def test_output_that_cannot_be_written(served: MachineServer) -> None:
    """The command fails with a plain text; where standard output is closed, nothing is printed."""
    command = [*VCPROXY, "machine", "list", served.host]
    with open("/dev/full", "wb") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (
        255, "Error: the output cannot be written: no space left on device\n"
    )  # fmt: skip

    closed = ["sh", "-c", 'exec "$@" >&-', "sh", *command]
    done = subprocess.run(closed, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_another_user() -> None:
    """The program of this test ends with the status 7 if it runs as that user."""
    if os.geteuid() != 0:
        return  # what a user without privileges gets is in tests/app/test_privileges.py
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        server = MachineServer(Path(folder), "--user", "nobody")
        try:
            server.add("Who").write_text('#!/bin/sh\n[ "$(id -nu)" = nobody ] && exit 7\n')
            assert "exit status 7" in server.refused("Who")
        finally:
            assert server.end() == 0


def test_listen_and_send_to_a_group() -> None:
    group = f"239.{random.randrange(256)}.{random.randrange(256)}.{random.randrange(1, 255)}:5007"
    listening = subprocess.Popen(
        [*VCPROXY, "machine", "listen", group], stdout=subprocess.PIPE, text=True
    )
    assert listening.stdout is not None
    try:
        lines: list[str] = []
        reader = threading.Thread(target=lambda: lines.extend(listening.stdout or ()))
        reader.start()

        def heard() -> bool:
            done = subprocess.run([*VCPROXY, "machine", "send", group, "hello all"], check=True)
            return bool(lines) and done.returncode == 0

        eventually(heard, "a message to the group is printed")
        listening.send_signal(signal.SIGINT)
        assert listening.wait(PATIENCE_S) == 0
        reader.join()
        assert re.fullmatch(rf"{re.escape(group)} < 127\.0\.0\.1:\d+ hello all\n", lines[0])
    finally:
        listening.kill()
        listening.wait()
        listening.stdout.close()
