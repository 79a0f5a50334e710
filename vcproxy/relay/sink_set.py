"""SinkSet: the sinks of a relay, the targets they belong to, and their counts.

Tested in tests/relay/test_relay.py.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from vcproxy.relay.status import SinkStatus
from vcproxy.tunnels.done import Dropped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from vcproxy.engine.vconnection import VConnection
    from vcproxy.relay.options import Target
    from vcproxy.tunnels.sink import SinkStatistics
    from vcproxy.upstream.reconnecting import ReconnectingConnection

NOTHING = 0, Dropped()


class SinkSet:
    """Subscribers and connected targets. A target's counts continue over its connections."""

    def __init__(self) -> None:
        self.targets: dict[ReconnectingConnection, Target] = {}
        """Targets by the link that keeps each connected, in the order of the options."""
        self._links: dict[VConnection, ReconnectingConnection | None] = {}
        self._earlier: dict[ReconnectingConnection, tuple[int, Dropped]] = {}
        """Bytes sent and drops of a target's lost connections."""

    def __str__(self) -> str:
        count = len(self._links)
        return f"{count} sink{'' if count == 1 else 's'}"

    def add(self, vc: VConnection, link: ReconnectingConnection | None) -> None:
        """Add a connection to the target of `link`; None: it is a subscriber."""
        self._links[vc] = link

    def remove(self, vc: VConnection, sent: int, dropped: Dropped) -> ReconnectingConnection | None:
        """Remove a connection, add its counts to its target's, and return its link."""
        link = self._links.pop(vc)
        if link is not None:
            earlier, lost = self._earlier.get(link, NOTHING)
            self._earlier[link] = earlier + sent, lost + dropped
        return link

    def connected(self, link: ReconnectingConnection) -> bool:
        """Whether the target of `link` has a connection."""
        return link in self._links.values()

    def statuses(self, current: Iterable[SinkStatistics]) -> Iterator[SinkStatus]:
        """Yield the status of each sink; `current` are the counts of the connections."""
        present = [counts for counts in current if counts.sink in self._links]
        by_link = {self._links[counts.sink]: counts for counts in present}
        for link in self.targets:
            yield self._of_target(link, by_link.get(link))
        for now in present:
            if self._links[now.sink] is None:
                yield _of_subscriber(now)

    def one_by_one(
        self, counts_of: Callable[[VConnection], SinkStatistics | None]
    ) -> Iterator[SinkStatus]:
        """Yield the status of each sink that there is now, when its turn comes.

        `counts_of`: returns the counts of a connection; None: it is no sink any more.
        """
        connections = list(self._links.items())
        by_link = {link: vc for vc, link in connections if link is not None}
        for link in list(self.targets):
            vc = by_link.get(link)
            yield self._of_target(link, None if vc is None else counts_of(vc))
        for vc, subscribed in connections:
            now = counts_of(vc)
            if subscribed is None and now is not None:
                yield _of_subscriber(now)

    def _of_target(self, link: ReconnectingConnection, now: SinkStatistics | None) -> SinkStatus:
        target = self.targets[link]
        sent, dropped = self._earlier.get(link, NOTHING)
        name = str(target.to)
        if now is None:
            status = SinkStatus(name, False, sent, dropped)
        else:
            sent, dropped = sent + now.sent, dropped + now.dropped
            status = replace(_of_subscriber(now), name=name, sent=sent, dropped=dropped)
        return replace(status, reconnects=link.reconnects, required=target.required)


def _of_subscriber(now: SinkStatistics) -> SinkStatus:
    return SinkStatus(
        now.sink.name,
        True,
        now.sent,
        now.dropped,
        now.lag,
        now.received,
        policy=now.policy,
        lags=now.lags,
    )
