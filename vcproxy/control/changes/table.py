"""CHANGES: the one table of changes to net threads. Recordings name them.

Tested in tests/control/changes/test_changes.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from vcproxy.control.changes.change import Change
from vcproxy.control.changes.drain import DRAIN
from vcproxy.control.changes.kill import KILL
from vcproxy.control.changes.server import SERVER

CHANGES: Final[Mapping[str, Change]] = {each.name: each for each in (SERVER, KILL, DRAIN)}
"""The changes by name."""
