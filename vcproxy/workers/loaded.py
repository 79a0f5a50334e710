"""Loaded: a configuration as the master has it, with what its workers need.

Tested in tests/e2e/test_workers_reload.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vcproxy.config.loader import load
from vcproxy.config.reread import reread
from vcproxy.workers.content import packed

if TYPE_CHECKING:
    from vcproxy.config.loader import Configuration
    from vcproxy.workers.sockets import Change, ListeningSockets


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration, the change of the sockets that it needs, and its content for workers."""

    configuration: Configuration
    change: Change
    content: int
    """See `packed`."""


def load_again(
    configuration: Configuration, sockets: ListeningSockets, contents_only: bool
) -> Loaded:
    """Read a configuration again, and make the sockets that it needs in addition.

    `contents_only`: see `reread`. Raises ConfigError, and OSError if an address cannot be bound;
    then nothing is left.
    """
    configuration = reread(configuration) if contents_only else load(configuration.file)
    change = sockets.prepare(configuration)
    try:
        return Loaded(configuration, change, packed(configuration))
    except OSError:
        sockets.drop(change)
        raise
