"""A pytest plugin: the fixture `vcproxy` runs the real program for a test.

    def test_it_greets(vcproxy):
        running = vcproxy('''
            [[listener]]
            name = "front"
            bind = "tcp://127.0.0.1:0"
            plugin = "greeter.py"
        ''')
        with running.connect("front") as client:
            assert client.recv(100) == b"hello\\n"

Port 0 is any free one: `running.port("front")` says which. See vcproxy.testing.running.

Every run of pytest where vcproxy is installed loads this module, so it imports nothing of vcproxy
before a test uses the fixture; and it is no part of vcproxy.testing, which imports much.
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
    """Start the program on a configuration, as often as asked.

    Each must end the test at rest, with status 0 and no traceback in its log.
    """
    from vcproxy.testing.running import starting

    with starting(tmp_path) as start:
        yield start
