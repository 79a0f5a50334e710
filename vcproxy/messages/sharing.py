"""What a source and the hub say to each other, and what a reply is split into.

Values; tuples, for a busy hub makes two of them for each request.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from vcproxy.messages.splitter import Splitter

Orphans: TypeAlias = Literal["drop", "reconnect"]
"""What becomes of a part that nobody asked for: it is dropped, or the connection is, as one on
which answers can no longer be told apart. See Turn for what that means without keys."""


class Part(NamedTuple):
    """What one request gets of a reply."""

    key: Hashable
    """Of the request; None: of the oldest request whose key is None."""
    data: bytes
    """A message, framed for the source when it is sent."""
    last: bool = True
    """Whether the request is answered with it."""


@dataclass(slots=True, eq=False)
class SplitRequest:
    """One request on its way."""

    source: Splitter | None
    """Who is owed the answer; None: it was given up."""
    key: Hashable
    message: bytes
    wire: bytes
    asked_at: float
    until: float
    sent: bool = False


class PartArrived(NamedTuple):
    """To a source: a part of what it asked for."""

    request: SplitRequest
    part: Part


class Unanswered(NamedTuple):
    """To a source: the request is given up."""

    request: SplitRequest
    why: str


class Waiting(NamedTuple):
    """To the hub: tell the source when there is room for more requests."""

    source: Splitter


@dataclass(frozen=True, slots=True)
class RoomAgain:
    """To a source that was waiting."""


@dataclass(frozen=True, slots=True)
class Retired:
    """To a source: its hub makes way for one of a new configuration."""


class SourceGone(NamedTuple):
    """To the hub: a source has left, and what it asked for is owed to nobody."""

    source: Splitter
    requests: tuple[SplitRequest, ...]
