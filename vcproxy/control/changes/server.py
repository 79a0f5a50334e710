"""The change SERVER: the state and the weight of a server of an upstream.

Tested in tests/control/changes/test_changes.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, cast

from vcproxy.control.changes.change import Change

if TYPE_CHECKING:
    from vcproxy.engine.engine import Engine
    from vcproxy.listeners.listeners import Listeners
    from vcproxy.upstream.server import ServerState
    from vcproxy.upstream.upstream import Upstream


def _apply(engine: Engine, listeners: Listeners, given: Mapping[str, str]) -> Sequence[str]:
    name, state, weight = given.get("name", ""), given.get("state"), given.get("weight")
    if state is None and weight is None:
        raise ValueError("give a state or a weight: state=drain, weight=0")
    if weight is not None and not (weight.isascii() and weight.isdigit() and len(weight) < 5):
        raise ValueError(f"weight: `{weight[:20]}` is not a number from 0 to 256")
    number = None if weight is None else int(weight)
    upstreams = {each.name: each for each in listeners.upstreams.of(engine)}
    upstream, server = _find(upstreams, name)
    upstream.set_server(server, state=cast("ServerState | None", state), weight=number)
    parts = [f"state {state}"] if state is not None else []
    parts += [f"weight {number}"] if number is not None else []
    return [f"{upstream.name}/{server}: {', '.join(parts)}"]


def _find(upstreams: Mapping[str, Upstream], name: str) -> tuple[Upstream, str]:
    """Return the upstream and the server that a name stands for. Raises LookupError."""
    first, _, rest = name.partition("/")
    if first in upstreams and rest:
        return upstreams[first], _full_name(upstreams[first], rest)
    fulls = [(each, _full_name(each, name)) for each in upstreams.values()]
    having = [(each, full) for each, full in fulls if full in _names(each)]
    if len(having) == 1:
        return having[0]
    if having:
        names = " or ".join(f"{each.name}/{full}" for each, full in having)
        raise LookupError(f"`{name}` is a server of several upstreams: write {names}")
    known = [f"{each.name}/{server.name}" for each in upstreams.values() for server in each.servers]
    there_are = ", ".join(known[:20]) or "none"
    raise LookupError(f"there is no server `{name[:80]}`; there are: {there_are}")


def _names(upstream: Upstream) -> set[str]:
    return {text for one in upstream.servers for text in (one.name, str(one.address))}


def _full_name(upstream: Upstream, name: str) -> str:
    """Return the name of the server that has this one before or after its "tcp://".

    `vcproxy top` and the dashboard show names without it. What stands for no server, or for
    several, is returned as it is.
    """
    full = {each for each in _names(upstream) if each.endswith(f"://{name}")}
    return full.pop() if len(full) == 1 and name not in _names(upstream) else name


SERVER: Final = Change("SERVER", _apply, "there is no upstream")
"""The change."""
