"""A pytest plugin: its fixture `vcproxy` runs the real program for a test.

    def test_it_greets(vcproxy):
        running = vcproxy('''
            [[listener]]
            name = "front"
            bind = "tcp://127.0.0.1:0"
            plugin = "greeter.py"
        ''')
        with running.connect("front") as client:
            assert client.recv(100) == b"hello\\n"

Port 0 is any free port: `running.port("front")` returns it. See vcproxy.testing.running.

Every run of pytest loads this module where vcproxy is installed. So it imports nothing of vcproxy
until a test uses the fixture, and it is not in vcproxy.testing, which imports much.
Tested in tests/testing/test_pytest_plugin.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from vcproxy.testing.running import Starter


@pytest.fixture
def vcproxy(tmp_path: Path) -> Iterator[Starter]:
    """Return a function that starts the program with a configuration; a test may call it often.

    At the end of the test each program must be without connections, end with status 0 and have no
    traceback in its log.
    """
    from vcproxy.testing.running import starting

    with starting(tmp_path) as start:
        yield start
