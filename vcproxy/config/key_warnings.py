"""Warnings about keys of a valid configuration: what works, but is probably not what is meant.

`vcproxy -t` prints each with its position, and every start and reload logs it. It is not an error:
a file with warnings is used. What is no mistake at all is a note: see `vcproxy.config.notes`.

A file with secrets that all users of the system can read is warned of where an option names it.
Two kinds of code give further warnings:

- A check of the tables: a generator of KeyProblem that `key_warnings` includes.
- The options of a plugin, and each dataclass or model in them: a method `warnings(self)` that
  yields the path of a key within it, and the text, as `yield ("users",), "can be read by all"`.

Tested in tests/config/test_key_warnings.py.
"""

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass

from pydantic import BaseModel

from vcproxy.config.certificate_warnings import certificate_warnings
from vcproxy.config.errors import KeyProblem
from vcproxy.config.file_content import FileContent
from vcproxy.config.options import instances
from vcproxy.config.plugin import Plugin
from vcproxy.config.plugin_loader import failed
from vcproxy.config.positions import KeyPath
from vcproxy.config.private_files import readable_by_all
from vcproxy.config.schema import Settings
from vcproxy.config.secret import Secret


def key_warnings(settings: Settings, plugins: Mapping[int, Plugin]) -> Iterator[KeyProblem]:
    """Yield every warning, in any order.

    Args:
        settings: the tables of the file.
        plugins: the plugins whose options are valid, by the index of their listener.
    """
    yield from certificate_warnings(settings, plugins)
    for path, secret in instances(Secret, settings):
        yield from _of_secret(secret, path)
    for index, plugin in plugins.items():
        options: KeyPath = ("listener", index, "options")
        for path, secret in plugin.secrets.items():
            yield from _of_secret(secret, (*options, *path))
        yield from _of_plugin(plugin, options)


def _of_secret(secret: Secret, path: KeyPath) -> Iterator[KeyProblem]:
    if secret.source is not None and (text := readable_by_all(secret.source[0])):
        yield KeyProblem(path, text)


def _of_plugin(plugin: Plugin, path: KeyPath) -> Iterator[KeyProblem]:
    try:
        yield from _declared(plugin.options, path)
    except BaseException as error:  # raised by the plugin's author
        yield KeyProblem(path, str(failed(error)))
    for number, each in enumerate(plugin.filters):
        yield from _of_plugin(each, (*path, "filters", number, "options"))


def _declared(value: object, path: KeyPath) -> Iterator[KeyProblem]:
    """Yield what an object of the options and those in it warn of."""
    if isinstance(value, list | tuple):
        for index, each in enumerate(value):
            yield from _declared(each, (*path, index))
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from _declared(each, (*path, key))
    elif isinstance(value, FileContent):
        if value.private and (text := readable_by_all(value.path)):
            yield KeyProblem(path, text)
    elif isinstance(value, BaseModel) or (is_dataclass(value) and not isinstance(value, type)):
        for name, key in _keys(value):
            yield from _declared(getattr(value, name), (*path, key))
        warnings = getattr(value, "warnings", None)
        if callable(warnings):
            for within, text in warnings():
                yield KeyProblem((*path, *within), text)


def _keys(value: object) -> Iterator[tuple[str, str]]:
    """Yield the attributes of a model or a dataclass, each with its key in the file."""
    if isinstance(value, BaseModel):
        for name, info in type(value).model_fields.items():
            yield name, info.alias or name
    elif is_dataclass(value):
        for field in fields(value):
            yield field.name, field.name
