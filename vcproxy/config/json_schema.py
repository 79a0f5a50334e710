"""The JSON Schema of a configuration, for editors: `vcproxy schema`.

It is made from the same tables that check a configuration, with the text under each key, and has
the options of plugins by the plugin's name. An editor marks unknown keys and values of a wrong type
with it; `vcproxy -t` checks more. It accepts what is valid, also the short forms of values, and
variables in place of numbers. Tested in tests/config/test_json_schema.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import is_dataclass
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

from vcproxy.config.plugin import options_type, with_options
from vcproxy.config.plugin_loader import BUNDLED, PluginLoader
from vcproxy.config.reference import docstrings
from vcproxy.config.schema import Settings

if TYPE_CHECKING:
    from pydantic_core import core_schema

DRAFT: Final = "http://json-schema.org/draft-07/schema#"
"""The version of JSON Schema that all editors have."""

VARIABLE: Final[JsonSchemaValue] = {"type": "string", "pattern": r"\$\{"}
"""A text with a variable, in place of a number, a truth value or one of some texts."""

SECRET_FILE: Final[JsonSchemaValue] = {
    "type": "object",
    "properties": {"file": {"type": "string", "description": "The file with the secret."}},
    "required": ["file"],
    "additionalProperties": False,
}

SHORT: Final[JsonSchemaValue] = {"type": ["string", "boolean"]}
"""In place of a table that has a short form."""


def json_schema(plugins: Iterable[str] = ()) -> dict[str, Any]:
    """Return the schema of configurations with the bundled plugins.

    `plugins`: further ones, named as in a listener. Raises PluginError.
    """
    loader = PluginLoader()
    options = {name: _options(loader, name) for name in (*bundled_plugins(), *plugins)}
    inputs: list[tuple[str, Any, Any]] = [("", "validation", TypeAdapter(Settings))]
    inputs += [(name, "validation", kind) for name, kind in options.items() if kind is not None]
    schemas, definitions = TypeAdapter.json_schemas(inputs, schema_generator=_Generator)
    found = {name: _plain(each) for name, each in definitions["$defs"].items()}
    listener = found["ListenerTable"]
    listener["allOf"] = [
        {
            "if": {"properties": {"plugin": {"const": name}}, "required": ["plugin"]},
            "then": {"properties": {"options": _plain(schemas[name, "validation"])}},
        }
        for name, kind in options.items()
        if kind is not None
    ]
    listener["properties"]["plugin"]["examples"] = list(options)
    root = schemas["", "validation"]
    whole = found[root["$ref"].rpartition("/")[2]] if "$ref" in root else _plain(root)
    return {**whole, "$schema": DRAFT, "title": "vcproxy", "$defs": found}


def bundled_plugins() -> list[str]:
    """Return the names of the bundled plugins that can serve a listener."""
    return sorted(each.stem for each in BUNDLED.glob("[!_]*.py"))


def _options(loader: PluginLoader, name: str) -> TypeAdapter[Any] | None:
    kind = options_type(with_options(loader.find(name)))
    if kind is None or not (is_dataclass(kind) or issubclass(kind, BaseModel)):
        return None
    return TypeAdapter(kind)


class _Generator(GenerateJsonSchema):
    """Adds the texts under the keys, and the short forms of values."""

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        return _described(super().model_schema(schema), schema["cls"])

    def dataclass_schema(self, schema: core_schema.DataclassSchema) -> JsonSchemaValue:
        made = _described(super().dataclass_schema(schema), schema["cls"])
        made["additionalProperties"] = False
        return made

    def function_before_schema(
        self, schema: core_schema.BeforeValidatorFunctionSchema
    ) -> JsonSchemaValue:
        """A validator that runs before another one takes a short form: an item in place of a list,
        or a text or a truth value in place of a table."""
        made = super().function_before_schema(schema)
        if made.get("type") == "array":
            return {"anyOf": [made, made.get("items", {})]}
        return {"anyOf": [made, SHORT]} if "$ref" in made else made


def _described(made: JsonSchemaValue, cls: type) -> JsonSchemaValue:
    try:
        texts = docstrings(cls)
    except (OSError, TypeError):  # a class without a source
        texts = {}
    if issubclass(cls, BaseModel):
        for name, info in cls.model_fields.items():
            if info.alias and name in texts:
                texts[info.alias] = texts[name]
    for key, content in made.get("properties", {}).items():
        if key in texts:
            made["properties"][key] = {**content, "description": texts[key]}
    return made


def _plain(node: Any) -> Any:
    """Return a schema with variables allowed, and without what editors would take for their own:
    titles of keys, and formats that are durations and so on of vcproxy."""
    if isinstance(node, list):
        return [_plain(each) for each in node]
    if not isinstance(node, dict):
        return node
    made = {
        key: {name: _plain(each) for name, each in value.items()}
        if key in ("properties", "$defs")
        else value
        if key in ("default", "examples", "const", "enum", "required")
        else _plain(value)
        for key, value in node.items()
        if key not in ("format", "title")
    }
    if node.get("format") == "secret":
        return _or(made, SECRET_FILE)
    kinds = ("integer", "number", "boolean")
    if node.get("type") in kinds or "enum" in node or "const" in node or "pattern" in node:
        return made if node in (VARIABLE, SHORT) else _or(made, VARIABLE)
    return made


def _or(made: dict[str, Any], other: JsonSchemaValue) -> dict[str, Any]:
    """Return a schema that accepts something else, too. What describes the key stays outside."""
    outside: dict[str, Any] = {
        key: made.pop(key) for key in ("description", "default") if key in made
    }
    return {"anyOf": [made, other], **outside}
