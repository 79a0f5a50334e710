"""The access log of a running proxy: files, rotation, standard error."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import ssl
import subprocess
import threading
from pathlib import Path
from typing import Any

from tests.e2e.conftest import Certificates, Starter
from tests.e2e.running import (
    ECHO,
    VCPROXY,
    Server,
    all_of,
    eventually,
    exactly,
    forward,
)
from tests.e2e.several import two_workers, who
from vcproxy.testing.running import Running


def exchange(proxy: Running, data: bytes) -> str:
    """Send data to the echo service, get it back, close; return the client's own address."""
    with proxy.connect("echo") as client:
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        assert all_of(client) == data
        return "{}:{}".format(*client.getsockname())


def records(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def test_each_session_has_a_record_and_a_moved_file_is_opened_again(
    proxy: Starter, tmp_path: Path
) -> None:
    file = tmp_path / "access.log"
    running = proxy(f'[access_log]\nfile = "access.log"\n{ECHO}')
    clients = [exchange(running, b"x" * size) for size in (1, 10_000)]
    eventually(lambda: len(records(file)) == 2, "two records")
    file.rename(tmp_path / "old.log")
    running.signal(signal.SIGUSR1)
    eventually(file.exists, "a new file")
    clients.append(exchange(running, b"abc"))
    running.stop()
    found = [*records(tmp_path / "old.log"), *records(file)]
    assert [each["client"] for each in found] == clients
    assert [each["bytes_up"] for each in found] == [1, 10_000, 3]
    assert [each["bytes_down"] for each in found] == [1, 10_000, 3]
    assert {each["end"] for each in found} == {"--"}
    assert len({each["id"] for each in found}) == 3


def test_standard_error(proxy: Starter) -> None:
    running = proxy(f'[access_log]\nformat = "RECORD {{listener}} {{bytes_up}} {{end}}"\n{ECHO}')
    exchange(running, b"abc")
    running.wait_for("RECORD echo 3 --")


SERVED = """
[[listener]]
name = "echo"
bind = "tls://127.0.0.1:0"
plugin = "echo"
tls = { certificate = "server.pem", key = "server.key", alpn = ["echo"] }
timeouts = { handshake = "500ms" }
"""


def test_tls_and_handshakes_that_fail(
    proxy: Starter, tmp_path: Path, certificates: Certificates
) -> None:
    certificate, key = certificates.issue("localhost")
    shutil.copy(certificate, tmp_path / "server.pem")
    shutil.copy(key, tmp_path / "server.key")
    running = proxy('[access_log]\nfile = "access.log"\n' + SERVED)
    context = ssl.create_default_context(cafile=certificates.ca)
    context.set_alpn_protocols(["echo"])
    with (
        running.connect("echo") as plain,
        context.wrap_socket(plain, server_hostname="localhost") as client,
    ):
        client.sendall(b"hello")
        assert client.recv(5) == b"hello"
        cipher = client.cipher()
        client.unwrap()
    with running.connect("echo") as stranger:
        stranger.sendall(b"GET / HTTP/1.1\r\n\r\n")
        all_of(stranger)
    with running.connect("echo") as silent:
        all_of(silent)
    eventually(lambda: len(records(tmp_path / "access.log")) == 3, "three records")
    running.stop()
    served, refused, late = records(tmp_path / "access.log")
    assert cipher is not None
    assert (served["tls"], served["cipher"]) == (cipher[1], cipher[0])
    assert (served["sni"], served["alpn"], served["end"]) == ("localhost", "echo", "--")
    assert served["time_handshake"] > 0
    assert (refused["end"], refused["tls"], refused["bytes_up"]) == ("CH", None, 0)
    assert refused["reason"]
    assert late["end"] == "cH"
    assert late["reason"] == "connection timed out in the TLS handshake"


def test_sessions_that_are_open_when_the_proxy_stops(proxy: Starter, tmp_path: Path) -> None:
    running = proxy('[proxy]\ndrain_timeout = "100ms"\n[access_log]\nfile = "access.log"\n' + ECHO)
    with running.connect("echo") as client:
        client.sendall(b"abc")
        assert client.recv(3) == b"abc"
        running.signal(signal.SIGTERM)
        assert running.wait() == 0
    (record,) = records(tmp_path / "access.log")
    assert (record["end"], record["reason"]) == ("KD", "the proxy was stopped")
    assert (record["bytes_up"], record["bytes_down"]) == (3, 3)


def test_two_workers_append_whole_lines_and_both_open_a_moved_file(
    proxy: Starter, tmp_path: Path
) -> None:
    file = tmp_path / "access.log"
    running = proxy(two_workers(tmp_path) + '[access_log]\nfile = "access.log"\n')
    served: set[int] = set()
    count = 0

    def both() -> bool:
        nonlocal count
        with running.connect("who") as client:
            served.add(who(client))
            count += 1
        return len(served) == 2 and count > 50

    eventually(both, "a client of each worker")
    eventually(lambda: len(records(file)) == count, "a record of each")
    file.rename(tmp_path / "old.log")
    running.signal(signal.SIGUSR1)
    eventually(file.exists, "a new file")
    before, count = count, 0
    served.clear()
    eventually(both, "a client of each worker, again")
    running.stop()
    assert len(records(tmp_path / "old.log")) + len(records(file)) == before + count
    ids = [each["id"] for each in records(tmp_path / "old.log") + records(file)]
    assert len(set(ids)) == before + count
    assert {each.partition("-")[0] for each in ids} == {"1", "2"}


def test_a_full_disk_stops_no_session(proxy: Starter) -> None:
    running = proxy(f'[access_log]\nfile = "/dev/full"\n{ECHO}')
    for _ in range(3):
        exchange(running, b"abc")
    running.wait_for("cannot write the access log to /dev/full: no space left on device")
    exchange(running, b"abc")
    running.stop()


def test_a_file_without_a_folder_is_an_error_at_the_start_and_in_a_reload(
    proxy: Starter, tmp_path: Path
) -> None:
    running = proxy(f'[access_log]\nfile = "access.log"\n{ECHO}')
    running.file.write_text(f'[access_log]\nfile = "none/access.log"\n{ECHO}')
    running.signal(signal.SIGHUP)
    running.wait_for(r"access_log\.file: there is no directory .*none: create it")
    exchange(running, b"abc")
    running.stop()
    assert len(records(tmp_path / "access.log")) == 1


def test_a_reload_writes_to_another_file(proxy: Starter, tmp_path: Path) -> None:
    running = proxy(f'[access_log]\nfile = "a.log"\n{ECHO}')
    exchange(running, b"a")
    text = running.file.read_text().replace('"a.log"', '"b.log"\nformat = "{bytes_up} {end}"')
    running.file.write_text(text)
    running.signal(signal.SIGHUP)
    running.wait_for("reloaded")
    exchange(running, b"ab")
    running.stop()
    assert [each["bytes_up"] for each in records(tmp_path / "a.log")] == [1]
    assert (tmp_path / "b.log").read_text() == "2 --\n"


def test_a_request_that_is_in_progress_when_the_proxy_stops(proxy: Starter, tmp_path: Path) -> None:
    with Server() as server:
        running = proxy(
            '[proxy]\ndrain_timeout = "100ms"\n[access_log]\nfile = "access.log"\n'
            '[[listener]]\nname = "web"\nbind = "tcp://127.0.0.1:0"\nplugin = "http_proxy"\n'
            f'upstream = "web"\n[upstream.web]\nservers = ["{server.uri}"]\n'
        )
        with running.connect("web") as client:
            client.sendall(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
            with server.next() as request:
                assert request.recv(4096)
                running.signal(signal.SIGTERM)
                assert running.wait() == 0
    (record,) = records(tmp_path / "access.log")
    assert (record["kind"], record["target"], record["status"]) == ("http", "/slow", None)
    assert (record["end"], record["reason"]) == ("KW", "the proxy was stopped")


def test_bulk_data_that_the_kernel_moves_are_counted(proxy: Starter, tmp_path: Path) -> None:
    size = 32 << 20
    with Server() as server:
        running = proxy('[access_log]\nfile = "access.log"\n' + forward(server.uri))
        with running.connect("in") as client, server.next() as upstream:
            sending = threading.Thread(target=client.sendall, args=(bytes(size),))
            sending.start()
            exactly(upstream, size)
            sending.join()
            upstream.sendall(b"done")
            exactly(client, 4)
    running.stop()
    (record,) = records(tmp_path / "access.log")
    assert (record["bytes_up"], record["bytes_down"], record["end"]) == (size, 4, "--")
    assert 0 < record["time_first_byte"] <= record["time_total"]


def test_a_run_with_an_access_log_is_recorded_and_replayed(proxy: Starter, tmp_path: Path) -> None:
    log = tmp_path / "log"
    running = proxy(
        f'[access_log]\nfile = "access.log"\nsample = 0.5\n{ECHO}\n[record]\nfile = "{log}"\n'
    )
    for _ in range(4):
        exchange(running, b"abc")
    running.stop()
    assert len(records(tmp_path / "access.log")) == 2
    done = subprocess.run(
        [*VCPROXY, "replay", str(log)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "all as recorded" in done.stdout
    assert len(records(tmp_path / "access.log")) == 2  # a replay writes none
