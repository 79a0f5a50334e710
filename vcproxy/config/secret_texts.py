"""The text of a configuration with other texts in place of its secrets.

Tested in tests/replay/test_hidden_secrets.py and tests/workers/test_content.py.
"""

import tomllib
from collections.abc import Callable
from typing import Any

from vcproxy.config.loader import Configuration
from vcproxy.config.positions import KeyPath
from vcproxy.config.secret import Secret


def secrets(configuration: Configuration) -> dict[KeyPath, Secret]:
    """Return the secrets in the options of plugins and filters, by their paths in the document."""
    return {
        ("listener", index, "options", *path): secret
        for index, listener in enumerate(configuration.settings.listener)
        for path, secret in configuration.plugins[listener.name].secrets.items()
    }


def with_secrets(
    configuration: Configuration, shown: Callable[[Secret], str], *, of_files: bool = False
) -> str:
    """Return the text with what `shown` returns in place of each secret that is written there.

    A default of a plugin is not there. `of_files`: only in place of those that are in files. If any
    is replaced, comments are left out.

    One that is not at its path (of a set, or of a field with an alias) is found by its text.
    """
    replaced = False
    tree = tomllib.loads(configuration.text)
    for path, secret in secrets(configuration).items():
        table: Any = tree
        *way, last = path
        try:
            for part in way:
                # A filter that is the only one may be written without the brackets of a list.
                if not isinstance(part, int) or isinstance(table, list):
                    table = table[part]
            if isinstance(table[last], dict) or not of_files:
                table[last] = shown(secret)
                replaced = True
        except (KeyError, IndexError, TypeError):
            if not of_files:
                options = tree["listener"][path[1]].get("options", {})
                replaced |= _replace(options, secret.reveal(), shown(secret))
    if not replaced:
        return configuration.text
    import tomli_w  # most configurations have no secrets

    return tomli_w.dumps(tree)


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
