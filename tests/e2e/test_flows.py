"""The question `flows`, to a running proxy: which listener's clients are connected to what."""

from __future__ import annotations

from typing import Any

from tests.e2e.conftest import Starter
from tests.e2e.running import Running
from tests.e2e.test_questions import show

CONFIGURATION = """
[proxy]
net_threads = 2

[[listener]]
name = "echo"
bind = "unix:{folder}/echo.sock"
plugin = "echo"

[[listener]]
name = "tunnel"
bind = "tcp://127.0.0.1:0"
plugin = "forward"
upstream = "echo"

[[listener]]
name = "idle"
bind = "tcp://127.0.0.1:0"
plugin = "forward"
upstream = "echo"

[upstream.echo]
servers = ["unix:{folder}/echo.sock"]
"""


def flows(running: Running, listener: str) -> list[dict[str, Any]]:
    """Return the rows of a listener that have connections."""
    rows, missing = show(running, "flows", listener=listener)
    assert missing == ""
    return [each for each in rows if each["connections"]]


def test_clients_are_counted_by_server(proxy: Starter, tmp_path: Any) -> None:
    server = f"unix:{tmp_path}/echo.sock"
    running = proxy(CONFIGURATION.format(folder=tmp_path))
    with running.connect("tunnel") as one, running.connect("tunnel") as two:
        for each in (one, two):  # one on each net thread
            each.sendall(b"ping\n")
            assert each.recv(100) == b"ping\n"
        [row] = flows(running, "tunnel")
        assert (row["upstream"], row["server"], row["connections"]) == ("echo", server, 2)
        assert row["bridged"] == 0
        [row] = flows(running, "echo")
        assert (row["upstream"], row["server"], row["connections"]) == ("", "", 2)


def test_an_upstream_is_named_before_it_is_used(proxy: Starter, tmp_path: Any) -> None:
    running = proxy(CONFIGURATION.format(folder=tmp_path))
    [row], _ = show(running, "flows", listener="idle")
    assert (row["upstream"], row["server"], row["connections"]) == ("echo", "", 0)
