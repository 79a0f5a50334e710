"""Hidden secrets: a recording has x in place of the secrets in its configuration.

Tested in tests/replay/test_hidden_secrets.py.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from vcproxy.config.secret_texts import hidden_texts, with_secrets

if TYPE_CHECKING:
    from vcproxy.config.loader import Configuration


def patterns(configuration: Configuration) -> list[re.Pattern[bytes]]:
    """Return a pattern for each secret: what peers send may contain it."""
    return [re.compile(re.escape(each.encode())) for each in hidden_texts(configuration)]


def text_without_secrets(configuration: Configuration) -> str:
    """Return the text of a configuration, with x for each byte of a secret, as in what peers send:
    so a replay compares equal texts."""
    return with_secrets(configuration, _masked)


def sources_without_secrets(configuration: Configuration) -> dict[str, bytes]:
    """Return the sources of plugins and the files that options name, the latter without hashes of
    passwords and the like."""
    return {**configuration.sources, **configuration.masked}


def _masked(text: str) -> str:
    return "x" * len(text.encode())
