"""SplitRequest, and the events that a requester and its shared connection send each other about it.

Values. The events sent for each request are tuples, which are cheaper to make than dataclasses.
Tested in tests/messages/test_splitter.py.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeAlias

from vcproxy.engine.scheduler import Action
from vcproxy.messages.split_rules import Part
from vcproxy.messages.unanswered import Unanswered

Requester: TypeAlias = Action
"""One client of a shared connection, known there by the ticket of its events only: an event that is
queued with it is delivered to the client's session, and dropped when the session has ended."""


@dataclass(slots=True, eq=False)
class SplitRequest:
    """One request, from its requester to the last part of its answer. Times are the engine's, in
    seconds."""

    requester: Requester
    """Gets the answer."""
    key: Hashable
    """The key that the parts of the answer contain. None: parts are matched by request order."""
    message: bytes
    """What the client has sent, without its framing."""
    encoded: bytes
    """The bytes that are sent to the server."""
    submitted_at: float
    deadline: float
    """Until when it must be sent, and then: until when it must be answered."""
    timeout_s: float
    """How long the server has for the answer."""
    queue_timeout_s: float = 0.0
    """How long it may wait until it is sent again."""
    attempts: int = 1
    """How often it may still be sent."""
    sent: bool = False
    """Whether it is at the server, and not to be sent again."""
    sent_at: float = -1.0
    """When it was sent last; negative: never."""
    copies: int = 0
    """How often it was sent on this connection without an answer."""
    answered: bool = False
    """Whether its requester got a part of the answer: it is not sent again."""
    abandoned: bool = False
    """Whether its answer will be dropped: its requester has left, or it is too late."""
    fresh_id: int | None = None
    """The id of the shared connection that it uses; None: none."""
    restored: bool = False
    """Whether its requester restores the parts of its answer, as it was rewritten."""
    shares: Hashable = None
    """See Keyed.shares."""
    carrier: SplitRequest | None = None
    """The request that is sent for this one and others. See SharedAnswers."""
    carried: dict[SplitRequest, None] | None = None
    """The requests that it is sent for; None: itself only."""

    @property
    def was_sent(self) -> bool:
        """Whether it was ever sent."""
        return self.sent_at >= 0.0

    @property
    def may_repeat(self) -> bool:
        """Whether it may be sent again."""
        return self.attempts > 0 and not self.answered

    def ghost(self) -> SplitRequest:
        """Return an abandoned request in the place of this one, for the answers to its copies."""
        return replace(self, abandoned=True)


class PartArrived(NamedTuple):
    """To a requester: a part of the answer to its request."""

    request: SplitRequest
    part: Part


class RequestFailed(NamedTuple):
    """To a requester: its request will not be answered."""

    request: SplitRequest
    why: Unanswered


class OrphanArrived(NamedTuple):
    """To a requester: a part that no request waits for. See Splitter.orphans."""

    part: Part


class SubscriptionLost(NamedTuple):
    """To a requester that gets orphans: the connection that they came from has ended."""

    why: str


class WaitingForRoom(NamedTuple):
    """To the shared connection: send RoomAvailable when more requests can be submitted."""

    requester: Requester


@dataclass(frozen=True, slots=True)
class RoomAvailable:
    """To a requester that sent WaitingForRoom."""


@dataclass(frozen=True, slots=True)
class ConnectionRetired:
    """To a requester: a shared connection of a new configuration replaces this one."""


class RequesterLeft(NamedTuple):
    """To the shared connection: a requester has ended, and no longer needs these answers."""

    requester: Requester
    requests: tuple[SplitRequest, ...]
