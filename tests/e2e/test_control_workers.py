"""The bus door of a proxy with several workers: the master owns it, and asks them."""

from __future__ import annotations

import os
import signal
import socket
import threading
from contextlib import suppress
from functools import partial
from pathlib import Path

from tests.e2e.conftest import Starter
from tests.e2e.running import Running, eventually, exactly
from tests.e2e.several import WORKERS, listener, served_by, two_workers, who, workers
from tests.e2e.test_control import ask, door, logged_door
from vcproxy.bus.connections.blocking_client import BlockingClient
from vcproxy.bus.message.bus_message import BusMessage

DOORS = """
import os
from vcproxy.api import Program, on_message

class Doors(Program):
    @on_message("OPEN<number>")
    def open(self, received):
        received.reply("OPENED", number=received.captured["number"], pid=os.getpid())
"""


def processes(running: Running) -> int:
    """Return the number of processes of workers."""
    return len(Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split())


def restart(running: Running, timeout_s: float = 60.0) -> BusMessage:
    """Send RESTART; return the reply."""
    with BlockingClient(door(running)) as client:
        return client.request(BusMessage("RESTART"), timeout_s=timeout_s)


def test_the_state_of_all_workers(proxy: Starter, tmp_path: Path) -> None:
    running = proxy(two_workers(tmp_path))
    one, two = workers(running)
    with served_by(running, one), served_by(running, two):
        state = BusMessage.parse(ask(door(running), "STATUS"))
        assert state.command == "PROXY_STATUS"
        assert (state.get("state"), state.integer("pid")) == ("serving", running.pid)
        assert state.get("workers") == f"1:{one},2:{two}"
        assert state.integer("connections") == 2
        assert state.get("silent") == ""
        sources = BusMessage.parse(ask(door(running), "SOURCES")).text("list")
        for number in (1, 2):
            assert f"worker {number}: net-0: connection who 127.0.0.1:" in sources


def test_a_worker_that_hangs_is_reported_and_does_not_delay_the_others(
    proxy: Starter, tmp_path: Path
) -> None:
    running = proxy(two_workers(tmp_path))
    _, two = workers(running)
    os.kill(two, signal.SIGSTOP)
    try:
        assert BusMessage.parse(ask(door(running), "STATUS")).get("silent") == "worker 2"
        sources = BusMessage.parse(ask(door(running), "SOURCES"))
        why = "no answer within 1.5s: it is busy, or a plugin blocks"
        assert sources.get("list") == f"worker 2: {why}"
    finally:
        os.kill(two, signal.SIGCONT)


def test_a_worker_that_was_asked_while_it_started_answers_what_follows(
    proxy: Starter, tmp_path: Path
) -> None:
    running = proxy(two_workers(tmp_path))
    before = set(workers(running))
    os.kill(min(before), signal.SIGKILL)
    eventually(lambda: len(set(workers(running)) - before) == 1, "another worker")
    (new,) = set(workers(running)) - before
    os.kill(new, signal.SIGSTOP)  # within its start, which takes some tenths of a second
    try:
        assert "worker " in BusMessage.parse(ask(door(running), "STATUS")).text("silent")
    finally:
        os.kill(new, signal.SIGCONT)
    status = partial(ask, door(running), "STATUS")
    eventually(lambda: BusMessage.parse(status()).get("silent") == "", "all workers answer")


def test_messages_of_plugins_reach_them_in_their_worker(proxy: Starter, tmp_path: Path) -> None:
    (tmp_path / "doors.py").write_text(DOORS)
    doors = listener("doors", plugin="doors.py").replace('bind = "tcp://127.0.0.1:0"\n', "")
    running = proxy(two_workers(tmp_path, listener(), doors))
    one, _ = workers(running)
    assert ask(door(running), "OPEN7") == f"OPENED number=7;pid={one}"
    assert ask(door(running), "doors/OPEN8") == f"OPENED number=8;pid={one}"
    assert ask(door(running), "who/OPEN8").startswith("INVALID command=OPEN8")
    assert ask(door(running), "CLOSE") == "UNKNOWN command=CLOSE"
    assert "OPEN<number>" in ask(door(running), "HELP")
    assert "usage=OPEN<number>" in ask(door(running), "HELP command=OPEN7")


def test_a_reload_is_answered_when_all_workers_use_it(proxy: Starter, tmp_path: Path) -> None:
    running = proxy(two_workers(tmp_path))
    assert ask(door(running), "RELOAD").startswith("RELOADED list=listener ")
    running.wait_for("reloaded ")
    text = running.file.read_text()
    running.file.write_text(text.replace("who.py", "nowhere.py"))
    reply = BusMessage.parse(ask(door(running), "RELOAD"))
    assert reply.command == "NOT_RELOADED"
    assert "nowhere.py" in reply.text("reason")
    assert "nowhere.py" in BusMessage.parse(ask(door(running), "STATUS")).text("reload")


# -- restart -------------------------------------------------------------------------------------


class Clients:
    """Clients that connect one after the other, from a thread, until `stop`."""

    def __init__(self, running: Running) -> None:
        self.served: list[int] = []
        """The process that has served each."""
        self.refused: list[Exception] = []
        self._running = running
        self._stopping = False
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._stopping:
            try:
                with self._running.connect("who") as client:
                    self.served.append(who(client))
            except (OSError, AssertionError, ValueError) as error:
                self.refused.append(error)

    def stop(self) -> None:
        """Stop, and wait for the end of the last client."""
        self._stopping = True
        self._thread.join()


def test_workers_are_replaced_one_by_one_and_no_connection_is_refused(
    proxy: Starter, tmp_path: Path
) -> None:
    running = proxy(two_workers(tmp_path))
    before = workers(running)
    clients = Clients(running)
    with served_by(running, before[0]) as long:
        # It lets the worker drain, while clients connect: the worker does not take them.
        ending = threading.Timer(1.0, lambda: long.shutdown(socket.SHUT_RDWR))
        ending.start()
        try:
            reply = restart(running)
        finally:
            ending.join()
            clients.stop()
    assert reply.to_text() == "RESTARTED"
    after = workers(running)
    assert set(before).isdisjoint(after)
    assert clients.refused == []
    assert set(clients.served) <= {*before, *after}
    running.wait_for(f"INFO 2 workers restarted, processes {after[0]}, {after[1]}")
    with running.connect("who") as client:
        assert who(client) in after


def test_a_connection_of_the_old_worker_goes_on_while_it_drains(
    proxy: Starter, tmp_path: Path
) -> None:
    running = proxy(two_workers(tmp_path))
    one, _ = workers(running)
    with served_by(running, one) as client, BlockingClient(door(running)) as operator:
        operator.send(BusMessage("RESTART"))
        eventually(lambda: processes(running) == 3, "the successor of worker 1")
        with suppress(ConnectionResetError):
            client.sendall(b"?\n")
            assert int(exactly(client, 9)) == one
        client.close()
        assert operator.receive(60.0).to_text() == "RESTARTED"


def test_a_worker_with_a_program_ends_before_its_successor_serves(
    proxy: Starter, tmp_path: Path
) -> None:
    (tmp_path / "doors.py").write_text(DOORS)
    doors = listener("doors", plugin="doors.py")
    running = proxy(two_workers(tmp_path, listener(), doors))
    one, _ = workers(running)
    assert restart(running).to_text() == "RESTARTED"
    (new, _) = workers(running)
    assert new != one
    assert ask(door(running), "OPEN7") == f"OPENED number=7;pid={new}"


def test_a_successor_that_cannot_start_leaves_all_as_it_is(proxy: Starter, tmp_path: Path) -> None:
    plugin = tmp_path / "who.py"
    running = proxy(two_workers(tmp_path))
    text = plugin.read_text()
    plugin.write_text(text + "\nimport sys\nif '--number=2' in sys.argv: raise OSError('no')\n")
    running.file.write_text(running.file.read_text())
    reply = ask(door(running), "RELOAD")
    assert reply.startswith("NOT_RELOADED reason=worker 2: ")
    before = workers(running)
    assert restart(running).to_text() == "RESTARTED"  # with the configuration in use
    assert set(before).isdisjoint(workers(running))


def test_a_restart_while_one_goes_on_is_refused(proxy: Starter, tmp_path: Path) -> None:
    running = proxy(two_workers(tmp_path))
    with BlockingClient(door(running)) as one:
        one.send(BusMessage("RESTART"))
        assert restart(running).to_text() == "NOT_RESTARTED reason=a restart goes on already"
        assert one.receive(60.0).to_text() == "RESTARTED"


def test_one_that_dies_while_it_serves_is_replaced_as_always(
    proxy: Starter, tmp_path: Path
) -> None:
    running = proxy(two_workers(tmp_path))
    restart(running)
    one, _ = workers(running)
    os.kill(one, signal.SIGKILL)
    running.wait_for("worker 1 was killed by SIGKILL: its connections are lost; it is started")
    eventually(lambda: one not in workers(running) and len(workers(running)) == 2, "a new one")


def test_the_end_of_the_proxy_ends_a_restart(proxy: Starter, tmp_path: Path) -> None:
    running = proxy(two_workers(tmp_path))
    with BlockingClient(door(running)) as client:
        client.send(BusMessage("RESTART"))
        eventually(lambda: processes(running) > 2, "a successor")
        client.send(BusMessage("STOP"))
        replies = {client.receive().command for _ in range(2)}
    assert replies == {"STOPPING", "NOT_RESTARTED"}
    assert running.wait() == 0


def test_stop_and_quitting(proxy: Starter, tmp_path: Path) -> None:
    for command in ("STOP", "QUITTING"):
        running = proxy(two_workers(tmp_path))
        one, _ = workers(running)
        with served_by(running, one) as client:
            assert ask(door(running), command) == "STOPPING"
            if command == "STOP":
                running.wait_for("draining connections: 1")
                client.close()
            assert running.wait() == 0


def test_the_log_of_all_is_rotated(proxy: Starter, tmp_path: Path) -> None:
    log = tmp_path / "proxy.log"
    running = proxy(WORKERS + f'log = "{log}"\n' + two_workers(tmp_path).removeprefix(WORKERS))
    address = logged_door(log)
    log.rename(tmp_path / "old")
    assert ask(address, "LOG_ROTATE") == "LOG_ROTATED"
    eventually(log.exists, "a new log")
    ask(address, "RELOAD")
    eventually(lambda: "reloaded" in log.read_text(), "a line in the new log")
    assert running.poll() is None
