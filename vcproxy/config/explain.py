"""Turn the errors of pydantic into problems by key, in plain words.

Imported only for a file with problems. Tested in tests/config/test_problems.py.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from vcproxy.config.errors import KeyProblem, OptionsError, did_you_mean
from vcproxy.config.positions import KeyPath

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
    "set_type": "a list",
    "frozen_set_type": "a list",
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


def key_problems(error: ValidationError, schema: type) -> list[KeyProblem]:
    """Return the problems of a table that failed validation as `schema`.

    A required key that is missing because its name is misspelt is reported once.
    """
    document = TypeAdapter(schema).json_schema()
    details = error.errors(include_url=False)
    found = [(problem, detail) for detail in details for problem in _problems(detail, document)]
    misspelt = {path for problem, _ in found for path in problem.because}
    return [
        problem
        for problem, detail in found
        if detail["type"] not in _MISSING or problem.path not in misspelt
    ]


def _problems(detail: ErrorDetails, document: Schema) -> Iterator[KeyProblem]:
    path = detail["loc"]
    if path[-1:] == ("[key]",):  # pydantic adds this to a key that is not one of those allowed
        path = path[:-1]
    raised = detail.get("ctx", {}).get("error")
    if isinstance(raised, OptionsError):
        for problem in raised.problems:
            yield problem.below(path)
    elif detail["type"] not in _UNKNOWN:
        yield KeyProblem(path, _message(detail))
    else:
        known = _keys(document, path[:-1])
        hint = did_you_mean(str(path[-1]), known)
        meant = tuple((*path[:-1], name) for name in re.findall('"(.*)"', hint))
        if path[1:] == ("include",):
            hint = ": write it above the first table of the file"
        elif not hint and known:
            hint = f": remove it; the keys here are {', '.join(known)}"
            if path[:1] == ("listener",) and len(path) == 3:
                hint += "; those of the plugin are under [listener.options]"
        yield KeyProblem(path, f"unknown key{hint}", because=meant)


def _message(detail: ErrorDetails) -> str:
    kind, value = detail["type"], detail["input"]
    if kind in _MISSING:
        return "is missing: this key is required"
    if kind in _WANTED:
        hint = ""
        if _WANTED[kind] == "a list" and isinstance(value, dict):
            hint = f": begin each item with [[{'.'.join(map(str, detail['loc']))}]]"
        return f"must be {_WANTED[kind]}, not {_KINDS.get(type(value), 'a date')}{hint}"
    if kind == "literal_error":
        expected = detail["ctx"]["expected"].replace("'", '"')
        known = re.findall('"([^"]*)"', expected)
        return f"must be {expected}, not {json.dumps(value)}{did_you_mean(str(value), known)}"
    if kind == "greater_than_equal":
        return f"must be {detail['ctx']['ge']} or more, not {value}"
    if kind == "less_than_equal":
        return f"must be {detail['ctx']['le']} or less, not {value}"
    if kind == "string_too_short" and value == "":
        return "must not be empty"
    if kind == "value_error":
        return str(detail["ctx"]["error"])
    return detail["msg"].replace("Input should", "must", 1)


def _keys(document: Schema, path: KeyPath) -> list[str]:
    """Return the keys allowed in the table at `path`. `document`: the whole JSON schema."""

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
