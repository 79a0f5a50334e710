"""What a reload cannot change: it needs a restart, and the log reports it.

Tested in tests/e2e/test_signals.py and test_programs.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from vcproxy.sessions.program import Program

if TYPE_CHECKING:
    from vcproxy.config.loader import Configuration

KEYS = (
    "net_threads",
    "workers",
    "worker_timeout",
    "memory",
    "splice",
    "slow_callback",
    "refused_messages",
    "user",
    "log",
)
"""The keys of [proxy] that belong to the process."""


TABLES = ("supervise", "control", "metrics")
"""The tables that are only read at the start. So is [record], except that `--record` is without."""


def needs_restart(key: str) -> bool:
    """Whether a key of a table other than those of listeners and upstreams, as "proxy.memory", is
    only read at the start."""
    table, _, name = key.partition(".")
    return table in TABLES or table == "record" or (table == "proxy" and name in KEYS)


def restart_needed(old: Configuration, new: Configuration) -> Iterator[str]:
    """Yield a text for each change that a running proxy ignores."""
    settings = new.settings
    for table in ("proxy", *TABLES):
        before, after = getattr(old.settings, table), getattr(settings, table)
        keys = KEYS if table == "proxy" else type(after).model_fields
        for key in keys:
            if getattr(after, key) != getattr(before, key):
                yield f"{table}.{key} has changed: restart the proxy to use it"
    if settings.record is not None and settings.record != old.settings.record:
        yield "[record] has changed: restart the proxy to use it"
    listeners = {entry.name: entry for entry in old.settings.listener}
    for entry in settings.listener:
        if listeners.get(entry.name, entry) == entry:
            continue
        if all(issubclass(each.plugins[entry.name].cls, Program) for each in (old, new)):
            yield f"listener.{entry.name} has changed: restart the proxy for its program"
