"""Several workers: their start, signals, end, and what they share."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.e2e.conftest import Starter
from tests.e2e.running import (
    ECHO,
    PATIENCE_S,
    VCPROXY,
    Running,
    Server,
    all_of,
    eventually,
    exactly,
    forward,
    free_port,
)
from tests.e2e.several import (
    WORKERS,
    gone,
    listener,
    served_by,
    two_workers,
    who,
    workers,
)


def refused(file: Path, *options: str) -> tuple[int, str]:
    """Run a proxy that cannot start; return its exit status and standard error."""
    done = subprocess.run(
        [*VCPROXY, "-c", str(file), *options],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr


# -- the start -----------------------------------------------------------------------------------


def test_addresses_and_ready_are_printed_once_and_clients_are_divided(
    proxy: Starter, tmp_path: Path
) -> None:
    running = proxy(two_workers(tmp_path))
    assert len(running.uris("who")) == 1
    lines = running.log.splitlines()
    assert lines.count("ready") == 1
    assert lines[-1] == "ready"
    pids = workers(running)
    assert f"2 workers, processes {pids[0]}, {pids[1]}" in running.log
    served: Counter[int] = Counter()
    for _ in range(600):  # a share of 40 to 60 %: five standard deviations
        with running.connect("who") as client:
            served[who(client)] += 1
    assert sorted(served) == sorted(pids)
    assert min(served.values()) >= 240


def test_the_lines_of_a_worker_in_the_log_carry_its_number(proxy: Starter, tmp_path: Path) -> None:
    running = proxy(two_workers(tmp_path))
    for number in (1, 2):
        running.wait_for(
            rf"^[-\d]+ [:,\d]+ INFO worker {number}: \d+ descriptors allow \d+ clients"
        )


def test_a_list_of_processes_shows_number_and_file(proxy: Starter, tmp_path: Path) -> None:
    running = proxy(two_workers(tmp_path))
    for number, pid in enumerate(workers(running), 1):
        command = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
        assert f"vcproxy.app.worker {running.file} --number={number} --of=2" in " ".join(command)


def test_workers_import_nothing_from_the_working_directory(tmp_path: Path) -> None:
    """As the program itself, unless it was started by `python -m`."""
    program = Path(sys.executable).parent / "vcproxy"
    if not program.exists():
        pytest.skip("vcproxy is not installed as a program")
    (tmp_path / "json.py").write_text("raise SystemExit('imported from the working directory')")
    file = tmp_path / "proxy.toml"
    file.write_text(WORKERS + ECHO)
    with subprocess.Popen(
        [program, "-c", file], cwd=tmp_path, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        lines = []
        for line in process.stderr:
            lines.append(line)
            if line == "ready\n":
                process.terminate()
        assert process.wait() == 0, lines
    assert "ready\n" in lines


def test_one_worker_has_no_master(proxy: Starter) -> None:
    running = proxy("[proxy]\nworkers = 1\n" + ECHO)
    assert workers(running) == []
    assert "worker" not in running.log


def test_a_second_instance_gets_address_in_use(proxy: Starter, tmp_path: Path) -> None:
    running = proxy(two_workers(tmp_path, listener(bind=f"tcp://127.0.0.1:{free_port()}")))
    file = tmp_path / "second.toml"
    for count in (1, 2):
        file.write_text(running.file.read_text().replace("workers = 2", f"workers = {count}"))
        status, log = refused(file)
        assert status == 1
        assert f"listener.who: cannot listen at {running.uri('who')}: address already in use" in log


def test_a_worker_that_cannot_start_ends_the_start_with_its_reason(tmp_path: Path) -> None:
    """The plugin of `split` works in the master, which checks the configuration, and in worker 1
    only."""
    file, plugin = tmp_path / "proxy.toml", tmp_path / "who.py"
    file.write_text(two_workers(tmp_path, listener(bind="unix:who.sock")))
    plugin.write_text(
        plugin.read_text() + "\nimport sys\nif '--number=2' in sys.argv: raise OSError('not here')"
    )
    status, log = refused(file)
    assert status == 1
    assert re.search(r"proxy\.toml:\d+:\d+: listener\.who\.plugin: OSError at .*: not here", log)
    assert "ready" not in log.splitlines()
    assert not (tmp_path / "who.sock").exists()


def test_a_worker_that_dies_at_the_start_ends_it(tmp_path: Path) -> None:
    file, plugin = tmp_path / "proxy.toml", tmp_path / "who.py"
    file.write_text(two_workers(tmp_path))
    plugin.write_text(
        plugin.read_text() + "\nimport sys\nif '--number=2' in sys.argv: os._exit(9)\n"
    )
    assert refused(file) == (1, "worker 2 exited with status 9 before it was ready\n")


def test_too_few_descriptors_end_the_start(tmp_path: Path) -> None:
    file = tmp_path / "proxy.toml"
    listeners = [listener(f"l{number}") for number in range(40)]
    file.write_text(two_workers(tmp_path, *listeners))
    limited = ["sh", "-c", 'ulimit -n 60; exec "$@"', "sh", *VCPROXY, "-c", str(file)]
    done = subprocess.run(limited, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 1
    assert re.search(r"listener\.l\d+: cannot listen at .*: too many open files", done.stderr)


def test_a_recording_from_the_command_line_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "proxy.toml"
    file.write_text(WORKERS + ECHO)
    text = f"{file}: --record needs workers = 1: it records one process\n"
    assert refused(file, "--record", str(tmp_path / "run.log")) == (1, text)


def test_the_check_shows_what_is_divided(tmp_path: Path) -> None:
    file = tmp_path / "proxy.toml"
    file.write_text(WORKERS + ECHO + "limits = { max_connections = 5 }\n")
    for mode in ("-t", "-T"):
        status, notes = refused(file, mode)
        assert status == 0
        assert f"{file}: proxy.memory: note: divided among 2 workers: 128MiB for each" in notes
        where = f"{file}: listener.echo.limits.max_connections"
        assert f"{where}: note: divided among 2 workers: 3 or 2 for each" in notes


# -- the end -------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_all_workers_drain_and_no_client_is_accepted(
    proxy: Starter, tmp_path: Path, number: signal.Signals
) -> None:
    running = proxy(two_workers(tmp_path))
    pids = workers(running)
    clients = [served_by(running, pid) for pid in pids]
    running.signal(number)
    for worker in (1, 2):
        running.wait_for(rf"worker {worker}: draining connections: \d+, 5s at most")
    with pytest.raises(ConnectionRefusedError):
        running.connect("who")
    for client, pid in zip(clients, pids, strict=True):
        assert who(client) == pid
        client.close()
    assert running.wait() == 0
    assert all(map(gone, pids))


def test_a_second_signal_stops_all_at_once(proxy: Starter, tmp_path: Path) -> None:
    running = proxy(two_workers(tmp_path))
    clients = [served_by(running, pid) for pid in workers(running)]
    running.signal(signal.SIGTERM)
    running.wait_for("draining", 2)
    running.signal(signal.SIGTERM)
    assert running.wait() == 0
    for client in clients:
        with pytest.raises(ConnectionResetError):
            all_of(client)
        client.close()


def test_a_signal_for_the_whole_group_counts_once(proxy: Starter, tmp_path: Path) -> None:
    """Ctrl-C in a terminal signals every process, and so do some service managers."""
    running = proxy(two_workers(tmp_path), wrapper=("setsid",))
    with running.connect("who") as client:
        pid = who(client)
        os.killpg(running.pid, signal.SIGINT)
        running.wait_for("draining connections: 1")
        assert who(client) == pid
    assert running.wait() == 0


def test_a_worker_that_hangs_is_killed(proxy: Starter, tmp_path: Path) -> None:
    running = proxy(two_workers(tmp_path).replace('"5s"', '"100ms"'))
    hanging = workers(running)[0]
    os.kill(hanging, signal.SIGSTOP)
    running.signal(signal.SIGTERM)
    running.wait_for("ERROR worker 1 has not ended in time: it is killed")
    assert running.wait() == 1
    running.status = 0  # expected
    assert gone(hanging)


def test_workers_end_when_the_master_is_killed(tmp_path: Path) -> None:
    file = tmp_path / "proxy.toml"
    file.write_text(two_workers(tmp_path, listener(bind="unix:who.sock")))
    running = Running(file)
    try:
        pids = workers(running)
        with running.connect("who") as client:
            served = who(client)
            running.signal(signal.SIGKILL)
            other = next(pid for pid in pids if pid != served)
            eventually(lambda: gone(other), "the worker without clients ends")
            assert who(client) == served
        eventually(lambda: gone(served), "the last one ends after its last client")
        text = "ERROR worker {}: the master process has ended: this worker drains and ends"
        for number in (1, 2):
            running.wait_for(text.format(number))
    finally:
        running.kill()


def test_a_unix_socket_is_removed_at_the_end(proxy: Starter, tmp_path: Path) -> None:
    running = proxy(two_workers(tmp_path, listener(bind="unix:who.sock")))
    assert (tmp_path / "who.sock").is_socket()
    running.stop()
    assert not (tmp_path / "who.sock").exists()


def test_a_plugin_stops_the_whole_proxy(proxy: Starter, tmp_path: Path) -> None:
    text = two_workers(tmp_path)
    plugin = tmp_path / "who.py"
    plugin.write_text(
        plugin.read_text()
        .replace("lines\n", "lines, stop_proxy\n")
        .replace("        self.answer", "        stop_proxy(self.engine)\n        self.answer")
    )
    running = proxy(text)
    with running.connect("who") as client:
        who(client)
    assert running.wait() == 0


# -- what they share -----------------------------------------------------------------------------


def test_all_workers_accept_at_a_unix_socket(proxy: Starter, tmp_path: Path) -> None:
    running = proxy(two_workers(tmp_path, listener(bind="unix:who.sock")))
    pids = workers(running)
    os.kill(pids[0], signal.SIGSTOP)
    try:
        with running.connect("who") as client:
            assert who(client) == pids[1]
    finally:
        os.kill(pids[0], signal.SIGCONT)
    os.kill(pids[1], signal.SIGSTOP)
    try:
        with running.connect("who") as client:
            assert who(client) == pids[0]
    finally:
        os.kill(pids[1], signal.SIGCONT)


def test_the_datagrams_of_a_client_stay_with_one_worker(proxy: Starter, tmp_path: Path) -> None:
    running = proxy(two_workers(tmp_path, listener(bind="udp://127.0.0.1:0")))
    served = set()
    for _ in range(30):  # by chance all go to one worker in 2e-9 of the runs
        with socket.socket(type=socket.SOCK_DGRAM) as client:
            client.settimeout(PATIENCE_S)
            client.connect(("127.0.0.1", running.port("who")))
            pids = set()
            for _ in range(5):
                client.send(b"?\n")
                pids.add(int(client.recv(100)))
            assert len(pids) == 1
            served |= pids
    assert served == set(workers(running))


def test_a_program_runs_in_worker_1_only(proxy: Starter, tmp_path: Path) -> None:
    relay = (
        '[[listener]]\nname = "news"\nbind = "tcp://127.0.0.1:0"\nplugin = "relay"\n'
        'options = { subscribers = "tcp://127.0.0.1:0" }\n'
    )
    running = proxy(two_workers(tmp_path, listener(), relay))
    running.wait_for("INFO news: runs in worker 1 only: a program gets all connections of its")
    with ExitStack() as stack:
        sinks = [stack.enter_context(running.connect("news.subscribers")) for _ in range(8)]
        source = stack.enter_context(running.connect("news"))
        for sink in sinks:
            sink.setblocking(False)

        def all_received() -> bool:
            source.sendall(b"tick\n")
            for sink in list(waiting):
                try:
                    if sink.recv(100):
                        waiting.remove(sink)
                except BlockingIOError:
                    pass
            return not waiting

        waiting = list(sinks)
        eventually(all_received, "each of the subscribers gets what the source sends")
    running.signal(signal.SIGTERM)
    assert running.wait() == 0


def test_threads_and_workers_go_together(proxy: Starter) -> None:
    with Server() as server:
        text = "[proxy]\nworkers = 2\nnet_threads = 2\n" + forward(server.uri)
        running = proxy(text)
        with ExitStack() as stack:
            for number in range(12):
                client = stack.enter_context(running.connect("in"))
                accepted = stack.enter_context(server.next())
                client.sendall(b"%02d" % number)
                assert exactly(accepted, 2) == b"%02d" % number


def test_standard_input_belongs_to_worker_1_and_its_end_ends_the_proxy(proxy: Starter) -> None:
    running = proxy(
        WORKERS + ECHO.replace("tcp://127.0.0.1:0", "stdio:"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert running.stdin is not None
    assert running.stdout is not None
    running.stdin.write(b"hello\n")
    running.stdin.flush()
    assert running.stdout.readline() == b"hello\n"
    running.stdin.close()
    assert running.wait() == 0


def test_the_end_of_standard_output_is_noticed(proxy: Starter, tmp_path: Path) -> None:
    text = two_workers(tmp_path, listener()) + ECHO.replace("tcp://127.0.0.1:0", "stdio:")
    running = proxy(text, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert running.stdin is not None
    assert running.stdout is not None
    running.stdin.write(b"hello")
    running.stdin.close()
    assert running.stdout.read() == b"hello"
    with running.connect("who") as client:
        assert who(client) in workers(running)


def test_a_restart_at_once_finds_the_address_free(proxy: Starter, tmp_path: Path) -> None:
    """Connections of the previous run are still in TIME_WAIT."""
    text = two_workers(tmp_path, listener(bind=f"tcp://127.0.0.1:{free_port()}"))
    for _ in range(2):
        running = proxy(text)
        clients = [running.connect("who") for _ in range(4)]
        for client in clients:
            who(client)
        running.signal(signal.SIGTERM)
        running.wait_for("draining")  # two signals at once would count as one
        running.signal(signal.SIGTERM)
        assert running.wait() == 0
        for client in clients:
            client.close()


def test_the_log_file_is_shared_and_reopened_by_all(proxy: Starter, tmp_path: Path) -> None:
    text = two_workers(tmp_path).replace("[proxy]\n", '[proxy]\nlog = "proxy.log"\n')
    running = proxy(text)
    log, moved = tmp_path / "proxy.log", tmp_path / "proxy.log.1"
    eventually(lambda: log.read_text().count("descriptors allow") == 2, "a line of each worker")
    log.rename(moved)
    running.signal(signal.SIGUSR1)
    running.signal(signal.SIGTERM)
    assert running.wait() == 0
    assert all(re.match(r"\d{4}-", line) for line in moved.read_text().splitlines())
    eventually(log.exists, "a new file")
