"""Ways: where the traffic of a listener goes, and what it passes, for people: `-T`, `diagram`.

Options of a plugin may have them as `ways`. Tested in tests/config/test_ways.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vcproxy.config.plugin import Plugin


@dataclass(frozen=True)
class Way:
    """One way from a listener to an upstream, or to what the proxy answers itself."""

    match: str
    """What takes it, as "shop.example/api"; empty: everything."""

    steps: tuple[str, ...] = ()
    """What is passed on this way only, in order."""

    upstream: str | None = None
    """The name of the upstream; None: the listener's, or none, see `own`."""

    own: str = ""
    """What the proxy answers itself, in place of an upstream, as "answer 403"."""


@dataclass(frozen=True)
class Ways:
    """All ways of a listener."""

    ways: tuple[Way, ...]

    before: tuple[str, ...] = ()
    """What everything passes before its way is chosen, in order."""


def ways_of(plugin: Plugin, upstream: str | None) -> Ways:
    """Return the ways of a listener with this plugin, and with this upstream."""
    ways = getattr(plugin.options, "ways", None)
    if isinstance(ways, Ways):
        return ways
    named = plugin.upstreams.values() or ((upstream,) if upstream is not None else ())
    return Ways(tuple(Way("", upstream=name) for name in dict.fromkeys(named)))


def in_words(listeners: Mapping[str, tuple[Plugin, str | None]]) -> Iterator[str]:
    """Yield lines about what requests pass, for the listeners where they pass anything.

    `listeners`: the plugin and the upstream of each, by its name.
    """
    for name, (plugin, upstream) in listeners.items():
        ways = ways_of(plugin, upstream)
        if not (ways.before or any(way.steps for way in ways.ways)):
            continue
        yield f"listener {name}: requests pass these in this order, responses in the opposite"
        if ways.before:
            yield f"    all: {', '.join(ways.before)}"
        for way in ways.ways:
            end = way.own or f"upstream {way.upstream or upstream}"
            yield f"    {way.match or 'then'}: {', '.join((*way.steps, end))}"
