"""What is still sound in a file with wrong keys, so that every other check can run all the same.

Wrong fields are left out, or replaced by stand-ins where a table cannot do without; what a check
then says about such a field, or because of it, is no news. Imported only once something is wrong.
"""

import json
from functools import reduce
from operator import getitem
from typing import Any

from vcproxy.config.place import KeyPath
from vcproxy.config.problem import KeyFault
from vcproxy.config.schema import as_json

_REQUIRED: dict[str, dict[str, object]] = {
    "listener": {"name": "?", "plugin": "?"},
    "upstream": {"servers": ["tcp://stand-in:1"]},
}


def sound_part(tree: dict[str, object], faults: list[KeyFault]) -> dict[str, object]:
    """Return a copy of a file's tree in which every field that a fault names is valid or gone."""
    sound: dict[str, object] = json.loads(as_json(tree))
    for field in _fields(faults):
        *tables, key = field
        table: Any = reduce(getitem, tables, sound)  # type: ignore[arg-type]
        required = _REQUIRED.get(str(field[0]), {})
        if len(field) == 2 and required:
            table[key] = dict(required)
        elif len(field) == 3 and key in required:
            table[key] = required[str(key)]
        else:
            table.pop(key, None)
    return sound


def news(found: list[KeyFault], known: list[KeyFault]) -> list[KeyFault]:
    """Return the found faults that do not merely follow from known ones."""
    wrong = _fields(known)
    return [
        fault
        for fault in found
        if not any(
            path[: len(field)] == field for path in (fault.path, *fault.because) for field in wrong
        )
    ]


def _fields(faults: list[KeyFault]) -> set[KeyPath]:
    """Return the keys of listeners, upstreams and [proxy] that faults are about."""
    paths = {path for fault in faults for path in (fault.path, *fault.because)}
    return {path[: 2 if path[0] == "proxy" else 3] for path in paths}
