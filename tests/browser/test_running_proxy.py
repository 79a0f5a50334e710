"""The dashboard of a running proxy: from `vcproxy ctl dashboard` to a change, and its end."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from signal import SIGTERM

import pytest

from tests.browser.chromium import Page
from tests.e2e.running import PATIENCE_S, VCPROXY, Running
from vcproxy.testing.running import starting

Start = Callable[[str], Running]

CONFIGURATION = """
[control]
http = ["unix", "tcp://127.0.0.1:0"]

[[listener]]
name = "echo"
bind = "unix:{folder}/echo.sock"
plugin = "echo"

[[listener]]
name = "tunnel"
bind = "tcp://127.0.0.1:0"
plugin = "forward"
upstream = "back"

[upstream.back]
servers = ["unix:{folder}/echo.sock"]
"""


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Start]:
    """Start a proxy, which must end in order although the browser keeps its connections."""
    with starting(tmp_path) as start:
        started: list[Running] = []

        def one(text: str) -> Running:
            started.append(start(text))
            return started[0]

        yield one
        for running in started:
            running.signal(SIGTERM)
            running.wait()


def address(running: Running) -> str:
    """Return what `vcproxy ctl dashboard` prints."""
    done = subprocess.run(
        [*VCPROXY, "ctl", "--pid", str(running.pid), "dashboard"],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.strip()


def click(page: Page, label: str) -> None:
    """Click a button of the details, twice if it asks."""
    page.until(lambda: label in page.text(".actions"), f"the button {label}")
    [button] = [each for each in page.all(".actions button") if each.text == label]
    button.click()
    if button.text == f"{label}: sure?":
        button.click()


def test_traffic_is_drawn_and_connections_are_ended(
    proxy: Start, page: Page, tmp_path: Path
) -> None:
    running = proxy(CONFIGURATION.format(folder=tmp_path))
    page.open(address(running))
    with running.connect("tunnel") as client:
        client.sendall(b"x" * 5000)
        received = 0
        while received < 5000:
            received += len(client.recv(5000))
        server = f"server back unix:{tmp_path}/echo.sock"
        page.until(lambda: "1 in use" in page.card(server).text, "the server has a connection")
        page.until(lambda: "RELAYING 1" in page.card("plugin tunnel").text, "its machine")
        page.choose("listener tunnel")
        assert "1 open" in page.card("listener tunnel").text
        click(page, "Connections")
        page.until(lambda: page.all("#details tbody tr"), "its connections")
        cells = page.eval(
            "[...document.querySelectorAll('#details td')].map((each) => each.textContent)"
        )
        assert cells[0].startswith("127.0.0.1:")
        assert cells[2] == "RELAYING"
        assert cells[4] == "9.77 KiB"
        end = page.find(".row-action")
        end.click()
        end.click()
        with pytest.raises(ConnectionResetError):
            client.recv(100)
        page.until(lambda: "0 in use" in page.card(server).text, "it has none any more")
    assert page.complaints() == []


def test_a_server_is_taken_out_and_put_back(proxy: Start, page: Page, tmp_path: Path) -> None:
    running = proxy(CONFIGURATION.format(folder=tmp_path))
    page.open(address(running), width=412, height=915)
    name = f"server back unix:{tmp_path}/echo.sock"
    page.choose(name)
    click(page, "maint")
    page.until(lambda: "maint" in page.card(name).text, "it is taken out")
    assert "level-off" in str(page.card(name).get_attribute("class"))
    running.wait_for("maint")
    click(page, "ready")
    page.until(lambda: "maint" not in page.card(name).text, "it is back")
    assert page.complaints() == []


def test_the_end_of_the_proxy_is_shown(proxy: Start, page: Page, tmp_path: Path) -> None:
    running = proxy(CONFIGURATION.format(folder=tmp_path))
    page.open(address(running))
    running.signal(SIGTERM)
    page.until(
        lambda: page.text("#connection").startswith("no figures from the proxy"), "it is gone"
    )
    assert "stale" in str(page.find("body").get_attribute("class"))
