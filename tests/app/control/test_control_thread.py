"""The thread of the control: a mistake in one step of it ends nothing else."""

from __future__ import annotations

import socket
import threading
from contextlib import closing
from pathlib import Path

from vcproxy.app.control.control_thread import ControlThread
from vcproxy.app.control.controlled_proxy import ControlledProxy
from vcproxy.app.server import Proxy
from vcproxy.config.loader import Configuration, load

LISTENER = """
[[listener]]
name = "echo"
bind = "tcp://127.0.0.1:0"
plugin = "echo"
"""


def configuration(folder: Path, name: str, text: str) -> Configuration:
    """Return the configuration of a file with this text."""
    file = folder / name
    file.write_text(text + LISTENER)
    return load(file)


def test_a_failed_step_does_not_end_the_control(tmp_path: Path) -> None:
    log = tmp_path / "proxy.log"
    no_door = f'[proxy]\nlog = "{log}"\n[control]\nbus = "off"\nhttp = "off"\n'
    one_door = f'[control]\nbus = "unix:{tmp_path}/bus.sock"\nhttp = "off"\n'
    with (
        closing(Proxy(configuration(tmp_path, "proxy.toml", no_door))) as proxy,
        closing(
            ControlThread(
                configuration(tmp_path, "door.toml", one_door), ControlledProxy(proxy), proxy.log
            )
        ) as control,
    ):
        control.bind()
        control.start()

        def mistaken() -> None:
            raise KeyError("a mistake")

        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(60)
            client.connect(f"{tmp_path}/bus.sock")
            control.feed(mistaken)
            later = threading.Event()
            control.feed(later.set)
            assert later.wait(60)
            client.sendall(b"ALIVE\n")
            assert client.makefile().readline().startswith("ABSOLUTELY")
    text = log.read_text()
    assert "a step of the control has failed: its client gets no answer" in text
    assert "KeyError: 'a mistake'" in text
    assert "takes no more messages" not in text
