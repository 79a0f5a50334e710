"""Requesters: the clients of one shared connection, and what they are sent besides parts.

Tested in tests/messages/test_splitter.py and test_devices.py.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import TYPE_CHECKING

from vcproxy.messages.split_request import Requester, RoomAvailable
from vcproxy.messages.split_rules import Orphans

if TYPE_CHECKING:
    from vcproxy.engine.engine import Engine


class Requesters:
    """The requesters that have joined, each until it leaves. All are on one engine."""

    __slots__ = ("_engine", "_orphans", "_subscribed", "_waiting")

    def __init__(self, engine: Engine, orphans: Orphans) -> None:
        self._engine = engine
        self._orphans = orphans
        self._subscribed: dict[Requester, bool] = {}
        self._waiting: list[Requester] = []

    def __len__(self) -> int:
        return len(self._subscribed)

    def __contains__(self, requester: Requester | None) -> bool:
        return requester in self._subscribed

    @property
    def subscribed(self) -> int:
        """How many are subscribed to orphans."""
        return sum(self._subscribed.values())

    @property
    def waiting(self) -> int:
        """How many wait for room."""
        return len(self._waiting)

    def join(self, requester: Requester, subscribed: bool) -> None:
        """Add a requester, or note whether it is subscribed now."""
        self._subscribed[requester] = subscribed

    def leave(self, requester: Requester) -> None:
        """Remove a requester."""
        self._subscribed.pop(requester, None)

    def receivers(self) -> Iterable[Requester]:
        """Return those that get orphans."""
        match self._orphans:
            case "broadcast":
                return tuple(self._subscribed)
            case "subscribers":
                return tuple(each for each, wants in self._subscribed.items() if wants)
        return ()

    def wait_for_room(self, requester: Requester) -> None:
        """Note that a requester waits for RoomAvailable."""
        self._waiting.append(requester)

    def notify_room(self) -> None:
        """Send those that wait RoomAvailable."""
        self.send(RoomAvailable, RoomAvailable(), self._waiting)
        self._waiting.clear()

    def send(
        self, key: Hashable, message: object, requesters: Iterable[Requester] | None = None
    ) -> None:
        """Send a message to these requesters; None: to all."""
        for requester in self._subscribed if requesters is None else requesters:
            self._engine.deliver_soon(requester, key, message)
