"""Differences: what a reload does with each listener, each upstream and other keys.

They are answered to the operator after a reload, and before one by `vcproxy -t`. Tested in
tests/listeners/test_differences.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from time import time
from typing import TYPE_CHECKING, Any, Final

from vcproxy.listeners.restart import needs_restart

if TYPE_CHECKING:
    from vcproxy.config.effective import Place
    from vcproxy.config.loader import Configuration

NAMED: Final = ("listener", "upstream")
"""The tables whose entries are compared one by one."""


@dataclass(frozen=True, slots=True)
class Difference:
    """What has become of one part of a configuration."""

    kind: str
    """ "configuration", "listener", "upstream" or "key", of another table."""
    name: str
    """Its name; of the configuration, its file; of a key, with its table."""
    result: str
    """Of the configuration "used" or "refused"; of a key "changed" or "restart needed"; of the
    others "new", "changed", "unchanged" or "removed", or "kept" if the configuration was
    refused."""
    error: str = ""
    """What was wrong with it; empty: nothing."""
    keys: tuple[str, ...] = ()
    """Of one that has changed, the keys whose values are others."""

    def __str__(self) -> str:
        keys = f": {', '.join(self.keys)}" if self.keys else ""
        return f"{self.kind} {self.name}: {self.result}{keys}"


class LastReload:
    """The result of the last start or reload."""

    def __init__(self) -> None:
        self.generation = 0
        """How often a configuration was put in use."""
        self.at = 0.0
        """When one was put in use or refused: seconds since 1970, UTC."""
        self._before: Configuration | None = None
        self._configuration: Configuration | None = None
        self._refused = ""

    def used(self, configuration: Configuration) -> None:
        """A configuration is in use from now on."""
        self._before, self._configuration = self._configuration, configuration
        self._refused = ""
        self.generation += 1
        self.at = time()

    def refused(self, reason: str) -> None:
        """The configuration stays in use, because another one was refused."""
        self._refused = reason
        self.at = time()

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows of the question `reloads`."""
        return [
            {
                "kind": each.kind,
                "name": each.name,
                "result": each.result,
                "keys": list(each.keys),
                "error": each.error,
                "at": round(self.at, 3),
                "generation": self.generation,
            }
            for each in self._differences()
        ]

    def _differences(self) -> list[Difference]:
        """Compare when it is asked for: a start does not need it."""
        if self._configuration is None:
            return []
        if self._refused:
            return refused(self._configuration, self._refused)
        from vcproxy.config.effective import flat_settings

        after = flat_settings(self._configuration, hidden=False)
        before = {} if self._before is None else flat_settings(self._before, hidden=False)
        used = Difference("configuration", str(self._configuration.file), "used")
        return [used, *differences(before, after)]


def differences(before: Mapping[Place, str], after: Mapping[Place, str]) -> list[Difference]:
    """Return what is different: see `flat_settings`. Before the start there are no settings."""
    found: list[Difference] = []
    for table in NAMED:
        old, new = _entries(before, table), _entries(after, table)
        for name, keys in new.items():
            if name not in old:
                found.append(Difference(table, name, "new"))
            else:
                changed = _changed(old[name], keys)
                result = "changed" if changed else "unchanged"
                found.append(Difference(table, name, result, keys=changed))
        found += [Difference(table, name, "removed") for name in old if name not in new]
    if before:
        here, there = _others(before), _others(after)
        for key in sorted({*here, *there}):
            if here.get(key) != there.get(key):
                restart = needs_restart(key)
                found.append(Difference("key", key, "restart needed" if restart else "changed"))
    return found


def _entries(settings: Mapping[Place, str], table: str) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for (kind, name, key), value in settings.items():
        if kind == table:
            found.setdefault(name, {})[key] = value
    return found


def _others(settings: Mapping[Place, str]) -> dict[str, str]:
    """Return the values of the keys of all other tables, by table and key."""
    return {
        f"{table}.{key}": value for (table, _, key), value in settings.items() if table not in NAMED
    }


def _changed(old: Mapping[str, str], new: Mapping[str, str]) -> tuple[str, ...]:
    keys = dict.fromkeys((*new, *old))
    return tuple(key for key in keys if old.get(key) != new.get(key))


def refused(used: Configuration, reason: str) -> list[Difference]:
    """Return the results of a reload that was refused. `used`: what stays in use."""
    lines = reason.splitlines()
    settings = used.settings
    names = [
        *(("listener", each.name) for each in settings.listener),
        *(("upstream", name) for name in settings.upstream),
    ]
    return [
        Difference("configuration", str(used.file), "refused", reason),
        *(Difference(kind, name, "kept", _about(lines, kind, name)) for kind, name in names),
    ]


def _about(lines: Iterable[str], kind: str, name: str) -> str:
    """Return the lines that name a listener or an upstream."""
    named = re.compile(rf"(?<![\w.-]){kind}\.{re.escape(name)}(?![\w-])")
    return "\n".join(line for line in lines if named.search(line))
