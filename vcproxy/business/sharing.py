"""What a source and the hub say to each other, and what a reply is split into. Values."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from vcproxy.business.splitter import Splitter

Orphans: TypeAlias = Literal["drop", "reconnect"]
"""What becomes of a part that nobody asked for: it is dropped, or the connection is, as one on
which answers can no longer be told apart."""


@dataclass(frozen=True, slots=True)
class Part:
    """What one request gets of a reply."""

    key: Hashable
    """Of the request; None: of the oldest request whose key is None."""
    data: bytes
    """A message, framed for the source when it is sent."""
    last: bool = True
    """Whether the request is answered with it."""


@dataclass(slots=True, eq=False)
class Request:
    """One request on its way. As a message to the hub: please have it answered."""

    source: Splitter | None
    """Who is owed the answer; None: it was given up."""
    key: Hashable
    message: bytes
    wire: bytes
    until: float
    sent: bool = False


@dataclass(frozen=True, slots=True)
class Delivery:
    """To a source: a part of what it asked for."""

    request: Request
    part: Part


@dataclass(frozen=True, slots=True)
class Unanswered:
    """To a source: the request is given up."""

    request: Request
    why: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """To the hub: tell the source when there is room for more requests."""

    source: Splitter


@dataclass(frozen=True, slots=True)
class Room:
    """To a source that was waiting."""


@dataclass(frozen=True, slots=True)
class Gone:
    """To the hub: a source has left, and what it asked for is owed to nobody."""

    source: Splitter
    requests: tuple[Request, ...]
