"""Hidden secrets: a recording has x in place of the secrets in its configuration.

Tested in tests/replay/test_hidden_secrets.py.
"""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vcproxy.config.loader import Configuration
    from vcproxy.config.positions import KeyPath
    from vcproxy.config.secret import Secret


def patterns(configuration: Configuration) -> list[re.Pattern[bytes]]:
    """Return a pattern for each secret: what peers send may contain it."""
    return [
        re.compile(re.escape(each.reveal().encode())) for each in _secrets(configuration).values()
    ]


def text_without_secrets(configuration: Configuration) -> str:
    """Return the text of a configuration, with x for each byte of a secret, as in what peers send:
    so a replay compares equal texts. With a secret, comments are left out."""
    secrets = _secrets(configuration)
    if not secrets:
        return configuration.text
    import tomli_w

    tree = tomllib.loads(configuration.text)
    for path, secret in secrets.items():
        _replace(tree, path, "x" * len(secret.reveal().encode()))
    return tomli_w.dumps(tree)


def _secrets(configuration: Configuration) -> dict[KeyPath, Secret]:
    return {
        ("listener", index, "options", *path): secret
        for index, listener in enumerate(configuration.settings.listener)
        for path, secret in configuration.plugins[listener.name].secrets.items()
    }


def _replace(tree: Any, path: KeyPath, masked: str) -> None:
    """Replace a value. A default of the plugin is not in the text, and stays there."""
    *way, last = path
    for part in way:
        # A list with one item may be written without brackets, or a filter as its name only.
        if isinstance(part, int) and not isinstance(tree, list):
            continue
        try:
            tree = tree[part]
        except (KeyError, IndexError, TypeError):
            return
    if isinstance(tree, dict | list):
        try:
            tree[last]  # type: ignore[index]
        except (KeyError, IndexError, TypeError):
            return
        tree[last] = masked  # type: ignore[index]
