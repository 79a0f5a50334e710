"""A pytest plugin with the fixture `vcproxy`, which runs the real program for a test.

    def test_it_greets(vcproxy):
        running = vcproxy('''
            [[listener]]
            name = "front"
            bind = "tcp://127.0.0.1:0"
            plugin = "greeter.py"
        ''')
        with running.connect("front") as client:
            assert client.recv(100) == b"hello\\n"

Port 0 binds any free port: `running.port("front")` returns its number. See vcproxy.testing.running.

If vcproxy is installed, every run of pytest loads this module. So it imports vcproxy only when a
test uses the fixture. It is not in vcproxy.testing because that package imports many modules.
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
    """Return a function that starts the program with a configuration. Call it for each program.

    At the end of the test each program is stopped. The test fails if a connection is still open, if
    the exit status is not 0, or if the log contains an unexpected traceback.
    """
    from vcproxy.testing.running import starting

    with starting(tmp_path) as start:
        yield start
