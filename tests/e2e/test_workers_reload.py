"""Several workers: a reload is used by all of them or by none."""

from __future__ import annotations

import os
import resource
import signal
import socket
import threading
from collections import Counter
from pathlib import Path

from tests.e2e.conftest import Starter
from tests.e2e.running import Running, Server, eventually, exactly, free_port
from tests.e2e.several import (
    gone,
    listener,
    replaced,
    served_by,
    two_workers,
    who,
    workers,
)


def rewrite(running: Running, text: str) -> None:
    """Reload with another configuration, and wait until the result is logged."""
    running.file.write_text(text)
    count = running.log.count("reloaded")
    running.signal(signal.SIGHUP)
    running.wait_for("reloaded", count + 1)


def free() -> str:
    """A free address, which stays the same in all configurations of a test."""
    return f"tcp://127.0.0.1:{free_port()}"


def marked(folder: Path, mark: str) -> None:
    """Let the plugin add a mark of one byte to its answers."""
    plugin = folder / "who.py"
    text = plugin.read_text()
    plugin.write_text(text[: text.index("MARK = ")] + f'MARK = b"{mark}"\n')


def mark(client: socket.socket) -> bytes:
    """Ask, and return the mark in the answer."""
    client.sendall(b"?\n")
    return exactly(client, 10)[9:]


def marks(running: Running) -> set[bytes]:
    """Return the marks of both workers."""
    found: dict[int, bytes] = {}
    while len(found) < 2:
        with running.connect("who") as client:
            client.sendall(b"?\n")
            answer = exactly(client, 10)
            found[int(answer[:9])] = answer[9:]
    return set(found.values())


def test_all_workers_use_it_and_open_connections_continue(proxy: Starter, tmp_path: Path) -> None:
    text = two_workers(tmp_path)
    marked(tmp_path, "a")
    running = proxy(text)
    pids = workers(running)
    old = running.connect("who")
    assert mark(old) == b"a"
    marked(tmp_path, "b")
    rewrite(running, text)
    assert running.log.count("reloaded") == 1, "it is logged once"
    assert marks(running) == {b"b"}
    assert mark(old) == b"a"
    assert workers(running) == pids
    old.close()


def test_errors_in_the_file_change_nothing(proxy: Starter, tmp_path: Path) -> None:
    text = two_workers(tmp_path)
    running = proxy(text)
    rewrite(running, text.replace("bind", "bnd"))
    assert "ERROR not reloaded; the previous configuration stays in use:" in running.log
    assert running.log.count("did you mean") == 1, "it is logged once"
    with running.connect("who") as client:
        who(client)


def test_a_plugin_that_raises_no_exception_of_programs(proxy: Starter, tmp_path: Path) -> None:
    text = two_workers(tmp_path)
    running = proxy(text)
    plugin = tmp_path / "who.py"
    good = plugin.read_text()
    plugin.write_text("raise KeyboardInterrupt\n")
    rewrite(running, text)
    assert f"listener.who.plugin: KeyboardInterrupt at {plugin}:1: no message" in running.log
    assert "Traceback" not in running.log
    plugin.write_text(good)
    rewrite(running, text)
    with running.connect("who") as client:
        who(client)


def test_what_one_worker_cannot_load_is_used_by_none(proxy: Starter, tmp_path: Path) -> None:
    text = two_workers(tmp_path)
    marked(tmp_path, "a")
    running = proxy(text)
    pids = workers(running)
    marked(tmp_path, "b")
    plugin = tmp_path / "who.py"
    good, port = plugin.read_text(), free_port()
    plugin.write_text(good + "import sys\nif '--number=2' in sys.argv: raise OSError('not here')\n")
    rewrite(running, text + listener("more", f"tcp://127.0.0.1:{port}"))
    assert "worker 2: " in running.wait_for(r"listener\.who\.plugin: OSError at .*: not here")
    assert marks(running) == {b"a"}
    assert workers(running) == pids
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", port))  # the refused reload has not left the port bound
    plugin.write_text(good)
    rewrite(running, text)
    assert marks(running) == {b"b"}


def test_a_worker_without_descriptors_for_new_sockets_rolls_back_the_others(
    proxy: Starter, tmp_path: Path
) -> None:
    text = two_workers(tmp_path)
    running = proxy(text)
    second = workers(running)[1]
    limits = resource.prlimit(second, resource.RLIMIT_NOFILE)
    highest = max(int(fd.name) for fd in Path(f"/proc/{second}/fd").iterdir())
    resource.prlimit(second, resource.RLIMIT_NOFILE, (highest + 2, limits[1]))
    more = "".join(listener(f"more-{number}") for number in range(20))
    rewrite(running, text + more)
    running.wait_for("worker 2: there are not enough descriptors for its sockets: raise the limit")
    resource.prlimit(second, resource.RLIMIT_NOFILE, limits)
    rewrite(running, text + more)
    running.wait_for("INFO reloaded")
    served_by(running, second, "more-19").close()
    rewrite(running, text)


def test_a_worker_that_dies_of_the_new_configuration_changes_nothing(
    proxy: Starter, tmp_path: Path
) -> None:
    text = two_workers(tmp_path)
    marked(tmp_path, "a")
    running = proxy(text)
    first, second = workers(running)
    marked(tmp_path, "b")
    plugin = tmp_path / "who.py"
    plugin.write_text(plugin.read_text() + "import sys\nif '--number=2' in sys.argv: os._exit(7)\n")
    rewrite(running, text)
    running.wait_for("worker 2 exited with status 7 while it loaded the configuration")
    running.wait_for("worker 2 exited with status 7: its connections are lost; it is started again")
    eventually(lambda: gone(second) and len(workers(running)) == 2, "it is replaced")
    assert marks(running) == {b"a"}, "the new worker does not read the edited plugin"
    assert workers(running)[0] == first


def test_listeners_are_added_and_removed(proxy: Starter, tmp_path: Path) -> None:
    one, two = free(), free()
    text = two_workers(tmp_path, listener("one", one))
    running = proxy(text)
    old = running.connect("one")
    who(old)
    rewrite(running, text + listener("two", two) + listener("local", "unix:local.sock"))
    assert running.uri("two") == two
    for pid in workers(running):
        served_by(running, pid, "two").close()
    with running.connect("local") as client:
        who(client)
    rewrite(running, two_workers(tmp_path, listener("two", two)))
    try:
        running.connect("one").close()
        raise AssertionError("it still accepts")
    except ConnectionRefusedError:
        pass
    assert not (tmp_path / "local.sock").exists()
    who(old)
    old.close()
    rewrite(running, two_workers(tmp_path, listener("three", two)))
    running.wait_for(f"listening three {two}")
    for pid in workers(running):
        served_by(running, pid, "three").close()


def test_an_address_in_use_keeps_the_old_configuration(proxy: Starter, tmp_path: Path) -> None:
    text = two_workers(tmp_path)
    running = proxy(text)
    with Server() as taken:
        rewrite(running, text + listener("taken", taken.uri))
        running.wait_for(f"listener.taken: cannot listen at {taken.uri}: address already in use")
    with running.connect("who") as client:
        who(client)


def test_a_removed_unix_socket_is_bound_again(proxy: Starter, tmp_path: Path) -> None:
    text = two_workers(tmp_path, listener(bind="unix:who.sock"))
    running = proxy(text)
    with running.connect("who") as old:
        who(old)
        (tmp_path / "who.sock").unlink()
        rewrite(running, text)
        with running.connect("who") as new:
            assert who(new) in workers(running)
        who(old)


def test_a_replacement_uses_the_configuration_in_use(proxy: Starter, tmp_path: Path) -> None:
    """A new worker does not read the file, which may be half edited."""
    text = two_workers(tmp_path)
    marked(tmp_path, "a")
    running = proxy(text)
    running.file.write_text("half of a")
    marked(tmp_path, "b")
    first = workers(running)[0]
    os.kill(first, signal.SIGKILL)
    eventually(lambda: gone(first) and len(workers(running)) == 2, "it is replaced")
    assert marks(running) == {b"a"}
    rewrite(running, text)
    second = workers(running)[1]
    os.kill(second, signal.SIGKILL)
    eventually(lambda: gone(second) and len(workers(running)) == 2, "it is replaced")
    assert marks(running) == {b"b"}


def test_the_number_of_workers_needs_a_restart(proxy: Starter, tmp_path: Path) -> None:
    text = two_workers(tmp_path)
    running = proxy(text)
    more = text.replace("workers = 2", "workers = 3") + "[supervise]\nintensity = 7\n"
    rewrite(running, more)
    for key in ("proxy.workers", "supervise.intensity"):
        running.wait_for(f"WARNING {key} has changed: restart the proxy to use it")
    assert len(workers(running)) == 2
    assert running.log.count("WARNING") == 2, "each is logged once"


def test_a_plugin_reloads_the_whole_proxy(proxy: Starter, tmp_path: Path) -> None:
    text = two_workers(tmp_path)
    plugin = tmp_path / "who.py"
    plain = plugin.read_text()
    plugin.write_text(
        plain.replace("lines\n", "lines, reload_proxy\n").replace(
            "        self.answer", "        reload_proxy(self.engine)\n        self.answer"
        )
    )
    running = proxy(text)
    plugin.write_text(plain)
    marked(tmp_path, "b")
    with running.connect("who") as client:
        who(client)
    running.wait_for("reloaded")
    assert marks(running) == {b"b"}


def test_reloads_under_load_lose_no_client(proxy: Starter, tmp_path: Path) -> None:
    text = two_workers(tmp_path)
    running = proxy(text)
    stop, results = threading.Event(), Counter[str]()

    def load() -> None:
        while not stop.is_set():
            try:
                with running.connect("who") as client:
                    who(client)
                results["served"] += 1
            except OSError as error:
                results[str(error)] += 1

    threads = [threading.Thread(target=load) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for number in range(4):
            rewrite(running, text + listener(f"more-{number}"))
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    rewrite(running, text)
    assert set(results) == {"served"}
    assert results["served"] > 50


def test_reloads_and_replacements_leave_no_descriptor(proxy: Starter, tmp_path: Path) -> None:
    text = two_workers(tmp_path, listener(), listener("other", "unix:other.sock"))
    running = proxy(text)
    first, second = workers(running)

    def open_in(pid: int) -> int:
        return len(list(Path(f"/proc/{pid}/fd").iterdir()))

    def as_before() -> bool:
        return all(open_in(pid) <= count for pid, count in before.items())

    rewrite(running, text)
    before = {pid: open_in(pid) for pid in (running.pid, first, second)}
    for number in range(5):
        rewrite(running, text + listener(f"more-{number}"))
        rewrite(running, text.replace("bind", "bnd"))
    rewrite(running, text)
    eventually(as_before, "all are closed")
    os.kill(first, signal.SIGKILL)
    replaced(running, first)
    assert open_in(running.pid) <= before[running.pid]
