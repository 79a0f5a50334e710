"""The sample samples/bus: its dialogue between two processes, and with socat."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.e2e.conftest import Starter

SAMPLES = Path(__file__).parents[2] / "samples" / "bus"

TOML = f"""
[[listener]]
name = "dialogue"
bind = "tcp://127.0.0.1:0"
plugin = "{SAMPLES}/dialogue.py"
options = {{ quit = "udp://127.0.0.1:0" }}
"""


def test_the_dialogue(proxy: Starter) -> None:
    running = proxy(TOML)
    line = running.wait_for("QUIT is received at")
    quit_at = f"udp://{re.split(' at ', line)[1]}"
    with running.connect("dialogue") as other:
        other.sendall(b"HI\nBYE\n")
        assert other.makefile("rb").read() == b"DAD\n"
    talk = subprocess.run(
        [sys.executable, SAMPLES / "talk.py", running.uri("dialogue"), quit_at],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert talk.stdout == "HI -> DAD\nCLIMB -> TOP\nWHO -> MOM\n"
    assert running.wait() == 0
