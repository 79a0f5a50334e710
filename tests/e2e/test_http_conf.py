"""The configurations of conf/ for HTTP, on free ports: the commands in their first lines work."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from tests.e2e.conftest import Starter, Tools
from tests.e2e.running import refusing

CONF = Path(__file__).parents[2] / "conf"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("proxy.toml", ["<title>vcproxy</title>", "hello"]),
        ("http-reverse.toml", ["HTTP/1.1 200 OK"]),
        ("edge.toml", ["308 Permanent Redirect", "https://127.0.0.1/here?a=b", "nosniff"]),
        ("http-forward.toml", ["Directory listing", "403 Forbidden"]),
    ],
)
def test_commands_in_the_comments_work(
    proxy: Starter, tools: Tools, name: str, shown: list[str]
) -> None:
    ports: dict[str, str] = {}

    def free(port: re.Match[str]) -> str:
        if port[0] not in ports:
            ports[port[0]] = refusing().rpartition(":")[2]
        return ports[port[0]]

    text = re.sub(r"(?<=127\.0\.0\.1[: ])\d+|(?<=/8:)9000", free, (CONF / name).read_text())
    running = proxy(text)
    data = ""
    for command in re.findall(r"^#     (.+)$", text.partition("\n\n")[0], re.MULTILINE):
        if match := re.fullmatch(r"python3 (-m http.server -b 127.0.0.1 (\d+))", command):
            tools.serve(f"tcp://127.0.0.1:{match[2]}", sys.executable, *match[1].split())
        elif command != f"vcproxy -c conf/{name}":
            data += tools.run("sh", "-c", command).decode()
    for words in shown:
        assert words in data
    assert len(ports) > 1
    if name == "proxy.toml":
        running.idle_descriptors += 2  # an idle connection of the proxy to itself: two descriptors
