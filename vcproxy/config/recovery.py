"""Recovery: the valid part of a file with invalid keys, so that all other checks can still run.

Invalid fields are removed, or replaced by placeholders where a table needs them. If a
later check reports such a field, or a problem caused by it, that report is dropped. Imported only
for a file with problems. Tested in tests/config/test_problems.py.
"""

import json
from functools import reduce
from operator import getitem
from typing import Any

from vcproxy.config.errors import KeyProblem
from vcproxy.config.positions import KeyPath
from vcproxy.config.schema import as_json

_REQUIRED: dict[str, dict[str, object]] = {
    "listener": {"name": "?", "plugin": "?"},
    "upstream": {"servers": ["tcp://placeholder:1"]},
}


def valid_part(tree: dict[str, object], problems: list[KeyProblem]) -> dict[str, object]:
    """Return a copy of a file's tree with invalid fields removed or replaced by placeholders."""
    valid: dict[str, object] = json.loads(as_json(tree))
    for field in _fields(problems):
        *tables, key = field
        table: Any = reduce(getitem, tables, valid)  # type: ignore[arg-type]
        required = _REQUIRED.get(str(field[0]), {})
        if len(field) == 2 and required:
            table[key] = dict(required)
        elif len(field) == 3 and key in required:
            table[key] = required[str(key)]
        else:
            table.pop(key, None)
    return valid


def independent(found: list[KeyProblem], known: list[KeyProblem]) -> list[KeyProblem]:
    """Return the problems in `found` without those at, or caused by, a field in `known`."""
    wrong = _fields(known)
    return [
        problem
        for problem in found
        if not any(
            path[: len(field)] == field
            for path in (problem.path, *problem.because)
            for field in wrong
        )
    ]


def _fields(problems: list[KeyProblem]) -> set[KeyPath]:
    """Return the fields that problems belong to: keys of listeners, upstreams and tables."""
    paths = {path for problem in problems for path in (problem.path, *problem.because)}
    return {path[: 3 if path[0] in _REQUIRED else 2] for path in paths}
