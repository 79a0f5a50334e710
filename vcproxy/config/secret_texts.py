"""The text of a configuration with other texts in place of its secrets.

Tested in tests/replay/test_hidden_secrets.py and tests/workers/test_content.py.
"""

import copy
from collections.abc import Callable
from typing import Any

from vcproxy.config.loader import Configuration
from vcproxy.config.options import instances
from vcproxy.config.positions import KeyPath
from vcproxy.config.secret import Secret

LEAST = 8
"""Characters of a text from a file that is hidden wherever it is sent or received, as a secret is.
A shorter one is a name or a number, which would be hidden in much that it is no part of."""


def secrets(configuration: Configuration) -> dict[KeyPath, Secret]:
    """Return the secrets in tables, and in the options of plugins and filters, by their paths in
    the configuration."""
    settings = configuration.settings
    found = dict(instances(Secret, settings, ()))
    for index, listener in enumerate(settings.listener):
        for path, secret in configuration.plugins[listener.name].secrets.items():
            found["listener", index, "options", *path] = secret
    return found


def hidden_texts(configuration: Configuration) -> list[str]:
    """Return what is hidden in everything that is kept of traffic: secrets, and texts of files."""
    found = [secret.reveal() for secret in secrets(configuration).values()]
    for document in configuration.documents.all:
        for each in document.from_files.values():
            found += [text for text in each.contents.values() if len(text) >= LEAST]
    return list(dict.fromkeys(found))


def with_secrets(
    configuration: Configuration, shown: Callable[[str], str], *, of_files: bool = False
) -> str:
    """Return the text with what `shown` returns in place of each secret that is written there, and
    of each text from a file. Variables are replaced, and it contains included files.

    A default of a plugin is not there. `of_files`: only in place of secrets in files. If anything
    is replaced, comments are left out.

    One that is not at its path (of a set, or of a field with an alias) is found by its text.
    """
    documents = configuration.documents
    trees = [copy.deepcopy(each.tree) for each in documents.all]
    replaced = len(trees) > 1 or documents.all[0].variables is not None
    for path, secret in secrets(configuration).items():
        number, there = documents.of(path)
        replaced |= _replace_secret(trees[number], there, secret, shown, of_files)
    if not of_files:
        for tree, document in zip(trees, documents.all, strict=True):
            for path, each in document.from_files.items():
                for text in each.contents.values():
                    _replace_part(tree, path, text, shown)
    if not replaced:
        return documents.all[0].text
    import tomli_w  # most configurations have no secrets

    tree = trees[0]
    if len(trees) > 1:
        from vcproxy.config.include import as_recorded

        files = [each.file for each in documents.all]
        tree = as_recorded(list(zip(files, trees, strict=True)))
    return tomli_w.dumps(tree)


def _replace_secret(
    tree: dict[str, Any], path: KeyPath, secret: Secret, shown: Callable[[str], str], of_files: bool
) -> bool:
    table: Any = tree
    *way, last = path
    try:
        for part in way:
            # A filter that is the only one may be written without the brackets of a list.
            if not isinstance(part, int) or isinstance(table, list):
                table = table[part]
        if isinstance(table[last], dict) or not of_files:
            table[last] = shown(secret.reveal())
            return True
    except (KeyError, IndexError, TypeError):
        if not of_files:
            return _replace(tree, secret.reveal(), shown(secret.reveal()))
    return False


def _replace(table: dict[Any, Any] | list[Any], text: str, by: str) -> bool:
    """Replace a text wherever it is a value; return whether it was there."""
    found = False
    for key, value in table.items() if isinstance(table, dict) else enumerate(table):
        if isinstance(value, dict | list):
            found |= _replace(value, text, by)
        elif value == text:
            table[key] = by
            found = True
    return found


def _replace_part(tree: Any, path: KeyPath, text: str, shown: Callable[[str], str]) -> None:
    """Replace a part of the text at a path. A number that it was converted to is no secret."""
    *way, last = path
    for part in way:
        tree = tree[part]
    if text and isinstance(tree[last], str):
        tree[last] = tree[last].replace(text, shown(text))
