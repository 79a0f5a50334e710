"""Differences: what a reload does with each listener and upstream, for the operator's answer.

Tested in tests/listeners/test_differences.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from time import time
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from vcproxy.config.loader import Configuration

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Difference:
    """What has become of one part of a configuration."""

    kind: str
    """ "configuration", "listener" or "upstream"."""
    name: str
    """Its name; of the configuration, its file."""
    result: str
    """Of the configuration "used" or "refused"; of the others "new", "changed", "unchanged" or
    "removed", or "kept" if the configuration was refused."""
    error: str = ""
    """What was wrong with it; empty: nothing."""


class LastReload:
    """The result of the last start or reload."""

    def __init__(self) -> None:
        self.generation = 0
        """How often a configuration was put in use."""
        self.at = 0.0
        """When one was put in use or refused: seconds since 1970, UTC."""
        self._results: list[Difference] = []
        self._configuration: Configuration | None = None

    def used(self, configuration: Configuration) -> None:
        """A configuration is in use from now on."""
        self._results = differences(self._configuration, configuration)
        self._configuration = configuration
        self.generation += 1
        self.at = time()

    def refused(self, reason: str) -> None:
        """The configuration stays in use, because another one was refused."""
        if self._configuration is not None:
            self._results = refused(self._configuration, reason)
        self.at = time()

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows of the question `reloads`."""
        return [
            {
                "kind": each.kind,
                "name": each.name,
                "result": each.result,
                "error": each.error,
                "at": round(self.at, 3),
                "generation": self.generation,
            }
            for each in self._results
        ]


def differences(before: Configuration | None, after: Configuration) -> list[Difference]:
    """Return what is different in a configuration that is put in use. `before`: None at the
    start."""

    def listeners(configuration: Configuration | None) -> dict[str, object]:
        if configuration is None:
            return {}
        plugins = configuration.plugins
        return {
            each.name: (each, plugins[each.name].code) for each in configuration.settings.listener
        }

    def upstreams(configuration: Configuration | None) -> Mapping[str, object]:
        return {} if configuration is None else configuration.settings.upstream

    return [
        Difference("configuration", str(after.file), "used"),
        *_compared("listener", listeners(before), listeners(after)),
        *_compared("upstream", upstreams(before), upstreams(after)),
    ]


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


def _compared(kind: str, before: Mapping[str, T], after: Mapping[str, T]) -> Iterator[Difference]:
    for name, value in after.items():
        if name not in before:
            result = "new"
        else:
            result = "unchanged" if before[name] == value else "changed"
        yield Difference(kind, name, result)
    for name in before:
        if name not in after:
            yield Difference(kind, name, "removed")


def _about(lines: Iterable[str], kind: str, name: str) -> str:
    """Return the lines that name a listener or an upstream."""
    named = re.compile(rf"(?<![\w.-]){kind}\.{re.escape(name)}(?![\w-])")
    return "\n".join(line for line in lines if named.search(line))
