"""Say in plain words what pydantic found wrong with a table, and place it in its file.

Imported only once something is wrong.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from vcproxy.config.place import KeyPath, line_and_column, places
from vcproxy.config.problem import KeyFault, OptionsError, Problem, did_you_mean

Schema = dict[str, Any]  # a JSON schema

_UNKNOWN = ("extra_forbidden", "unexpected_keyword_argument")
_MISSING = ("missing", "missing_argument")
_WANTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a table",
    "model_type": "a table",
    "dataclass_type": "a table",
}
_KINDS = {
    str: "text",
    bool: "true or false",
    int: "a whole number",
    float: "a fraction",
    list: "a list",
    tuple: "a list",
    dict: "a table",
}
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)


def faults(error: ValidationError, schema: type) -> list[KeyFault]:
    """Return what is wrong with a table that was to be of type `schema`.

    A key that is missing because its name is misspelt is told once.
    """
    document = TypeAdapter(schema).json_schema()
    details = error.errors(include_url=False)
    found = [(fault, detail) for detail in details for fault in _faults(detail, document)]
    meant = {path for fault, _ in found for path in fault.because}
    return [
        fault
        for fault, detail in found
        if detail["type"] not in _MISSING or fault.path not in meant
    ]


def _faults(detail: ErrorDetails, document: Schema) -> Iterator[KeyFault]:
    path = detail["loc"]
    told = detail.get("ctx", {}).get("error")
    if isinstance(told, OptionsError):
        for fault in told.faults:
            yield KeyFault((*path, *fault.path), fault.message)
    elif detail["type"] not in _UNKNOWN:
        yield KeyFault(path, _message(detail))
    else:
        hint = did_you_mean(str(path[-1]), _keys(document, path[:-1]))
        meant = tuple((*path[:-1], name) for name in re.findall('"(.*)"', hint))
        yield KeyFault(path, f"unknown key{hint}", because=meant)


def _message(detail: ErrorDetails) -> str:
    kind, value = detail["type"], detail["input"]
    if kind in _MISSING:
        return "is missing"
    if kind in _WANTED:
        return f"must be {_WANTED[kind]}, not {_KINDS.get(type(value), 'a date')}"
    if kind == "literal_error":
        expected = detail["ctx"]["expected"].replace("'", '"')
        known = re.findall('"([^"]*)"', expected)
        return f"must be {expected}, not {json.dumps(value)}{did_you_mean(str(value), known)}"
    if kind == "value_error":
        return str(detail["ctx"]["error"])
    return detail["msg"].replace("Input should", "must", 1)


def _keys(document: Schema, path: KeyPath) -> list[str]:
    """Return the keys that a table may have, by the JSON schema of the whole document."""

    def resolved(schema: Schema) -> Schema:
        if "$ref" in schema:
            return resolved(document["$defs"][schema["$ref"].rpartition("/")[2]])
        return resolved(schema["anyOf"][0]) if "anyOf" in schema else schema

    table = resolved(document)
    for part in path:
        inside = table.get("properties", {}).get(part)
        inside = inside or table.get("items") or table.get("additionalProperties")
        table = resolved(inside) if isinstance(inside, dict) else {}
    return list(table.get("properties", ()))


def placed(found: list[KeyFault], file: Path, text: str, tree: dict[str, object]) -> list[Problem]:
    """Return the problems that faults are at their places in the file's text."""
    where = places(text)
    return [_placed(fault, file, text, tree, where) for fault in found]


def _placed(
    fault: KeyFault, file: Path, text: str, tree: dict[str, object], where: dict[KeyPath, int]
) -> Problem:
    path = known = fault.path
    while known and known not in where:
        known = known[:-1]
    if path != known and isinstance(path[-1], int):
        path = known  # the only item of a list, written without its brackets
    line, column = line_and_column(text, where.get(known, 0))
    return Problem(file, line, column, _shown(path, tree), fault.message)


def _shown(path: KeyPath, tree: dict[str, object]) -> str:
    """Write a path with dots, where a listener goes by its name."""
    parts = [str(part) for part in path]
    match path, tree:
        case ("listener", int(index), *_), {"listener": [*listeners]}:
            match listeners[index]:
                case {"name": str(name)} if name:
                    parts[1] = name
    return ".".join(part if _BARE_KEY.fullmatch(part) else json.dumps(part) for part in parts)
