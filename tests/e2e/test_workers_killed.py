"""Workers that are killed: which connections are lost, and which process takes over."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import threading
from collections import Counter
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from tests.e2e.conftest import Starter, Tools
from tests.e2e.running import PATIENCE_S, all_of, eventually, exactly, forward
from tests.e2e.several import (
    WORKERS,
    is_replaced,
    listener,
    replaced,
    served_by,
    two_workers,
    who,
    workers,
)


def test_a_killed_worker_costs_only_its_own_connections(proxy: Starter, tmp_path: Path) -> None:
    running = proxy(two_workers(tmp_path))
    first, second = workers(running)
    with served_by(running, first) as lost, served_by(running, second) as kept:
        os.kill(first, signal.SIGKILL)
        assert all_of(lost) == b""
        running.wait_for(
            "ERROR worker 1 was killed by SIGKILL: its connections are lost; it is started again"
        )
        assert who(kept) == second
        replaced(running, first)
        assert who(kept) == second
    assert workers(running)[1] == second


def test_the_reason_is_known_even_if_the_master_was_started_with_sigchld_ignored(
    proxy: Starter, tmp_path: Path
) -> None:
    ignoring = ("sh", "-c", 'trap "" CHLD; exec "$@"', "sh")
    running = proxy(two_workers(tmp_path), wrapper=ignoring)
    first = workers(running)[0]
    os.kill(first, signal.SIGKILL)
    running.wait_for("worker 1 was killed by SIGKILL")
    replaced(running, first)


def test_queued_connections_are_served_by_the_replacement(proxy: Starter, tmp_path: Path) -> None:
    """The master keeps the socket, with the connections in its backlog."""
    running = proxy(two_workers(tmp_path))
    first, second = workers(running)
    os.kill(first, signal.SIGSTOP)
    with ExitStack() as stack:
        clients = [stack.enter_context(running.connect("who")) for _ in range(40)]
        for client in clients:
            client.sendall(b"?\n")
        os.kill(first, signal.SIGKILL)
        served = Counter(int(exactly(client, 9)) for client in clients)
        new = workers(running)[0]
        assert set(served) == {new, second}
        assert first != new


def more_than(results: Counter[str], count: int) -> bool:
    """Whether more clients were served."""
    return results["served"] > count


def test_datagrams_wait_for_the_replacement(proxy: Starter, tmp_path: Path) -> None:
    """The replacement has the same socket, so it gets the datagrams of the same clients."""
    running = proxy(two_workers(tmp_path, listener(bind="udp://127.0.0.1:0")))
    pids = workers(running)
    with socket.socket(type=socket.SOCK_DGRAM) as client:
        client.settimeout(PATIENCE_S)
        client.connect(("127.0.0.1", running.port("who")))
        client.send(b"?\n")
        served = int(client.recv(100))
        os.kill(served, signal.SIGKILL)
        client.send(b"?\n")
        successor = int(client.recv(100))
        assert successor not in pids
        assert workers(running).index(successor) == pids.index(served)


def test_workers_killed_at_any_moment_under_load(proxy: Starter, tmp_path: Path) -> None:
    """Four kills: no client is refused, and only connections of the killed ones are lost."""
    running = proxy(two_workers(tmp_path))
    stop, results = threading.Event(), Counter[str]()

    def load() -> None:
        while not stop.is_set():
            with running.connect("who") as client:  # never refused
                try:
                    client.sendall(b"?\n")
                    answer = client.recv(9)
                except ConnectionError:
                    answer = b""
            results["served" if answer else "lost"] += 1

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for number in (0, 1, 0, 1):
            served = partial(more_than, results, results["served"] + 50)
            eventually(served, "clients are served")
            victim = workers(running)[number]
            os.kill(victim, signal.SIGKILL)
            eventually(partial(is_replaced, running, victim), "the worker is replaced")
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert results["lost"] <= 4 * len(threads), "at most one for each client and kill"
    assert results["served"] > 200


def test_more_failures_than_the_intensity_end_the_proxy_with_a_status(
    proxy: Starter, tmp_path: Path
) -> None:
    running = proxy(two_workers(tmp_path) + '[supervise]\nintensity = 2\nperiod = "1m"\n')
    (tmp_path / "who.py").write_text("this is not Python")  # workers get what the master has read
    for death in range(1, 3):
        victim = workers(running)[0]
        os.kill(victim, signal.SIGKILL)
        running.wait_for(r"worker 1 was killed by SIGKILL.*it is started again", death)
        eventually(partial(is_replaced, running, victim), "the worker is replaced")
    os.kill(workers(running)[1], signal.SIGKILL)
    running.wait_for(
        "ERROR worker 2 was killed by SIGKILL: its connections are lost, "
        "after more than 2 restarts in 1m; all are stopped"
    )
    assert running.wait() == 3
    running.status = 0  # expected


def test_a_worker_that_hangs_is_replaced_after_its_stacks_are_logged(
    proxy: Starter, tmp_path: Path
) -> None:
    running = proxy(hanging(tmp_path, "while True: pass"))
    first, second = workers(running)
    with served_by(running, first) as lost, served_by(running, second) as kept:
        lost.sendall(b"hang\n")
        assert all_of(lost) == b""
        running.wait_for("ERROR worker 1: the stacks of its threads:")
        running.wait_for("Current thread 0x")
        running.wait_for(f'File "{tmp_path}/who.py", line .* in forever')
        running.wait_for("ERROR worker 1 has sent no heartbeat for 3s: it is killed")
        assert who(kept) == second
        replaced(running, first)
        assert who(kept) == second
    assert workers(running)[1] == second


def test_a_worker_that_waits_for_ever_is_replaced(proxy: Starter, tmp_path: Path) -> None:
    running = proxy(hanging(tmp_path, "import time; time.sleep(1000)"))
    first, _ = workers(running)
    with served_by(running, first) as lost:
        lost.sendall(b"hang\n")
        assert all_of(lost) == b""
    running.wait_for(f'File "{tmp_path}/who.py", line .* in forever')
    replaced(running, first)


def hanging(folder: Path, how: str) -> str:
    """Return a configuration whose plugin hangs when it is asked to."""
    text = two_workers(folder).replace("[proxy]", '[proxy]\nworker_timeout = "3s"')
    plugin = folder / "who.py"
    plugin.write_text(
        plugin.read_text().replace(
            "        self.answer",
            '        if message.data == b"hang": forever()\n        self.answer',
        )
        + f"\ndef forever():\n    {how}\n"
    )
    return text


def test_an_exception_that_nothing_handles_is_in_the_log(proxy: Starter, tmp_path: Path) -> None:
    """The plugin breaks the proxy's own reload, in worker 2 only."""
    text = two_workers(tmp_path).replace("[proxy]\n", '[proxy]\nlog = "proxy.log"\n')
    breaks = """
import sys
if "--number=2" in sys.argv:
    from vcproxy.app.reloads import Reloads
    def use(self, planned):
        raise LookupError("broken on purpose")
    Reloads.use = use
"""
    (tmp_path / "who.py").write_text((tmp_path / "who.py").read_text() + breaks)
    running = proxy(text)
    _, second = workers(running)
    running.signal(signal.SIGHUP)
    log = tmp_path / "proxy.log"

    def is_logged() -> bool:
        return "LookupError: broken on purpose" in log.read_text()

    eventually(is_logged, "the traceback is in the log")
    assert "ERROR worker 2 has failed, and ends:" in log.read_text()
    eventually(partial(is_replaced, running, second), "the worker is replaced")
    running.expected_tracebacks = None


def test_a_stopped_worker_is_replaced(proxy: Starter, tmp_path: Path) -> None:
    running = proxy(two_workers(tmp_path).replace("[proxy]", '[proxy]\nworker_timeout = "3s"'))
    first, second = workers(running)
    with served_by(running, second) as kept:
        os.kill(first, signal.SIGSTOP)
        running.wait_for("worker 1: the stacks of its threads:")
        running.wait_for("none: it is stopped, or waits in the kernel")
        replaced(running, first)
        assert who(kept) == second


def test_http_requests_of_other_workers_are_served(proxy: Starter, tools: Tools) -> None:
    """wrk opens lost connections again. No connection is refused, and no answer is wrong or
    late."""
    tools.require("wrk")
    page = proxy('[[listener]]\nname = "page"\nbind = "tcp://127.0.0.1:0"\nplugin = "page"\n')
    running = proxy(WORKERS + forward(page.uri("page")).replace('"forward"', '"http_proxy"'))
    url = f"http://127.0.0.1:{running.port('in')}/"
    load = subprocess.Popen(
        ["wrk", "-t1", "-c32", "-d6s", "--timeout", "15s", url], stdout=subprocess.PIPE, text=True
    )
    for number in (0, 1):
        victim = workers(running)[number]
        os.kill(victim, signal.SIGKILL)
        eventually(partial(is_replaced, running, victim), "the worker is replaced")
    out, _ = load.communicate(timeout=PATIENCE_S)
    found = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", out)
    connect, read, write, timeout = map(int, found.groups()) if found else (0, 0, 0, 0)
    assert (connect, timeout) == (0, 0)
    assert read + write <= 2 * 32, "at most each connection, for each kill"
    assert "Non-2xx" not in out
    answered = re.search(r"(\d+) requests in", out)
    assert answered is not None
    assert int(answered[1]) > 100
