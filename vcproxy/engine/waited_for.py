"""waited_for: what an engine waits for, by name, as plain values.

For operators: the answer to "why does it not end?". Asked by the control plane, and logged when a
proxy drains for long.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vcproxy.engine.engine import Engine
    from vcproxy.engine.net import NetVConnection
    from vcproxy.engine.sources.source import Source

CONNECTION = "connection"


class WaitedFor(NamedTuple):
    """One thing that an engine waits for."""

    kind: str
    """The class of a source, such as "ChildProcess"; "connection"; "call"."""
    name: str
    """The name of the source or the connection; of a call, that of its function."""
    since_s: float
    """Seconds since it was opened; of a connection, since its bytes moved last."""
    detail: str = ""
    """What else identifies it: an address, a path, "disabled"; "": nothing."""

    def __str__(self) -> str:
        """One line, such as "ChildProcess alice (/bin/cat) for 3.5s"."""
        detail = f" ({self.detail})" if self.detail else ""
        quiet = "quiet for" if self.kind == CONNECTION else "for"
        return f"{self.kind} {self.name}{detail} {quiet} {self.since_s:.1f}s"


def waited_for(
    engine: Engine, *, stopping: bool = False, now: float | None = None
) -> Iterator[WaitedFor]:
    """Yield the open sources, then the connections, then the calls, each in the order of opening.

    `stopping`: only what a proxy that stops waits for, within its drain timeout. `now`: the time,
    for an engine that may have had no turn for long. Any thread may call it. What has ended when
    its turn comes may be among them.
    """
    if now is None:
        now = engine.now
    for source in list(engine.sources.values()):
        if source.delays_stop or not stopping:
            kind, age = type(source).__name__, now - source.opened_at
            yield WaitedFor(kind, source.name, age, _detail(source))
    for vc in list(engine.vcs):
        yield WaitedFor(CONNECTION, vc.name, now - vc.last_moved_at(), _state(vc))
    for name, since in () if stopping else engine.pending_calls.waiting():
        yield WaitedFor("call", name, now - since)


def _detail(source: Source) -> str:
    return ", ".join(filter(None, (source.detail, "" if source.enabled else "disabled")))


def _state(vc: NetVConnection) -> str:
    if vc.closed:
        return "closing"
    if vc.error is not None:
        return "failed, not closed"  # the plugin has forgotten it
    return "" if vc.open else "connecting"
