"""The definitions of messages that a configuration names, read and checked.

Tested in tests/e2e/test_control.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vcproxy.bus.message.definitions import Definitions, InvalidDefinitions, load
from vcproxy.config.errors import ConfigError, Problem

if TYPE_CHECKING:
    from vcproxy.config.loader import Configuration


def load_definitions(configuration: Configuration) -> Definitions:
    """Return the definitions of `control.messages`, and the standard ones.

    Raises ConfigError with every problem: it has the place in the file of the definition.
    """
    try:
        return load(configuration.settings.control.messages)
    except InvalidDefinitions as error:
        file, key = configuration.file, "control.messages"
        raise ConfigError(*(Problem(file, 0, 0, key, each) for each in error.problems)) from None
