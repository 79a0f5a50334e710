"""The change DRAIN: a listener, or all, accepts no more connections; open ones go on.

Tested in tests/control/changes/test_changes.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from vcproxy.control.changes.change import Change

if TYPE_CHECKING:
    from vcproxy.engine.engine import Engine
    from vcproxy.listeners.listeners import Listeners


def _apply(engine: Engine, listeners: Listeners, given: Mapping[str, str]) -> Sequence[str]:
    name = given.get("listener", "")
    names = [each for each, _ in listeners.services_of(engine)]
    if name and name not in names:
        raise LookupError(f"there is no listener `{name[:80]}`; there are: {', '.join(names)}")
    drained = [name] if name else names
    for each in drained:
        listeners.drain(each)
        engine.log("info", f"{each}: accepts no more connections (DRAIN), until a reload")
    return [f"{each}: accepts no more connections, until a reload" for each in drained]


DRAIN: Final = Change("DRAIN", _apply, "there is no listener", first_only=True)
"""The change."""
