"""The echo server and the echo client, as processes, against each other."""

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


def test_they_talk_until_both_are_told_to_end(proxy: Starter) -> None:
    serving, port = server(proxy)
    serving.wait_for(rf"^Hello! I am 'LISTENER-1' on port {port}\.$")
    asking = client(proxy, port)
    for number in (1, 2, 3, 4):
        asking.wait_for(rf"^WORKER-{number} : connected to '127\.0\.0\.1:{port}'$")
        asking.wait_for(rf"^reply: WORKER-{number}-2$")
    serving.wait_for(r"^WORKER-\d @ SEND got 'M1' from TX-\d$", 8)

    asking.signal(signal.SIGINT)
    assert asking.wait() == 0
    goodbye = f"TERMINATOR-1 @ IDLE got 'S0' from OS\ngot signal #2 from PID {os.getpid()}\n"
    assert goodbye in f"{asking.log}\n"
    serving.wait_for(r"^LISTENER-1 @ WORK got 'M0' from WORKER-\d$", 4)

    serving.signal(signal.SIGTERM)
    assert serving.wait() == 0
    goodbye = (
        f"LISTENER-1 @ WORK got 'S1' from OS\ngot signal #15 from PID {os.getpid()}\n"
        "Bye! It was 'LISTENER-1'.\n"
    )
    assert goodbye in f"{serving.log}\n"


def test_the_server_ends_while_clients_are_connected(proxy: Starter) -> None:
    serving, port = server(proxy)
    asking = client(proxy, port)
    asking.wait_for("^reply: ", 4)
    serving.signal(signal.SIGTERM)
    assert serving.wait() == 0
    asking.wait_for(r"^WORKER-\d @ (SEND|RECV) got 'M3' from SELF$", 4)
    asking.signal(signal.SIGTERM)
    assert asking.wait() == 0


def test_it_survives_a_reload_and_goes_when_its_listener_goes(proxy: Starter) -> None:
    serving, port = server(proxy)
    asking = client(proxy, port)
    asking.wait_for("^reply: WORKER-1-1$")
    asking.signal(signal.SIGHUP)
    asking.wait_for("reloaded")
    asking.wait_for("^reply: WORKER-1-3$")
    assert asking.log.count("TERMINATOR-1 @ INIT") == 1
    asking.file.write_text(
        '[[listener]]\nname = "e"\nbind = "tcp://127.0.0.1:0"\nplugin = "echo"\n'
    )
    asking.signal(signal.SIGHUP)
    asking.wait_for("reloaded", 2)
    serving.wait_for(r"^LISTENER-1 @ WORK got 'M0' from WORKER-\d$", 4)
    eventually(
        lambda: asking.descriptors() <= asking.idle_descriptors + 1, "its connections are closed"
    )
    asking.signal(signal.SIGTERM)
    assert asking.wait() == 0
