"""The echo server and the echo client, as two processes."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from tests.e2e.conftest import Starter
from tests.e2e.running import Running, eventually

CONF = Path(__file__).parents[2] / "conf"


def server(proxy: Starter) -> tuple[Running, int]:
    text = (CONF / "echo-server.toml").read_text()
    running = proxy(text.replace("0.0.0.0:3333", "127.0.0.1:0"))
    return running, running.port("echo-server")


def client(proxy: Starter, port: int) -> Running:
    text = (CONF / "echo-client.toml").read_text()
    return proxy(text.replace("3333", str(port)))


def test_they_exchange_lines_until_both_get_a_signal(proxy: Starter) -> None:
    serving, port = server(proxy)
    serving.wait_for(rf"^Hello! I am 'LISTENER-1' on port {port}\.$")
    sending = client(proxy, port)
    for number in (1, 2, 3, 4):
        sending.wait_for(rf"^WORKER-{number} : connected to '127\.0\.0\.1:{port}'$")
        sending.wait_for(rf"^reply: WORKER-{number}-2$")
    serving.wait_for(r"^WORKER-\d @ SEND got 'M1' from TX-\d$", 8)

    sending.signal(signal.SIGINT)
    assert sending.wait() == 0
    expected = f"TERMINATOR-1 @ IDLE got 'S0' from OS\ngot signal #2 from PID {os.getpid()}\n"
    assert expected in f"{sending.log}\n"
    serving.wait_for(r"^LISTENER-1 @ WORK got 'M0' from WORKER-\d$", 4)

    serving.signal(signal.SIGTERM)
    assert serving.wait() == 0
    expected = (
        f"LISTENER-1 @ WORK got 'S1' from OS\ngot signal #15 from PID {os.getpid()}\n"
        "Bye! It was 'LISTENER-1'.\n"
    )
    assert expected in f"{serving.log}\n"


def test_the_server_ends_while_clients_are_connected(proxy: Starter) -> None:
    serving, port = server(proxy)
    sending = client(proxy, port)
    sending.wait_for("^reply: ", 4)
    serving.signal(signal.SIGTERM)
    assert serving.wait() == 0
    sending.wait_for(r"^WORKER-\d @ (SEND|RECV) got 'M3' from SELF$", 4)
    sending.signal(signal.SIGTERM)
    assert sending.wait() == 0


def test_a_reload_keeps_it_and_removing_its_listener_stops_it(proxy: Starter) -> None:
    serving, port = server(proxy)
    sending = client(proxy, port)
    sending.wait_for("^reply: WORKER-1-1$")
    sending.signal(signal.SIGHUP)
    sending.wait_for("reloaded")
    sending.wait_for("^reply: WORKER-1-3$")
    assert sending.log.count("TERMINATOR-1 @ INIT") == 1
    sending.file.write_text(
        '[[listener]]\nname = "e"\nbind = "tcp://127.0.0.1:0"\nplugin = "echo"\n'
    )
    sending.signal(signal.SIGHUP)
    sending.wait_for("reloaded", 2)
    serving.wait_for(r"^LISTENER-1 @ WORK got 'M0' from WORKER-\d$", 4)
    eventually(
        lambda: sending.descriptors() <= sending.idle_descriptors + 1, "its connections are closed"
    )
    sending.signal(signal.SIGTERM)
    assert sending.wait() == 0
