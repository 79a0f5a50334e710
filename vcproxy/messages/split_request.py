"""SplitRequest, and the events that a requester and its shared connection send each other about it.

Values. The events sent for each request are tuples, which are cheaper to make than dataclasses.
Tested in tests/messages/test_splitter.py.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from vcproxy.engine.scheduler import Action
from vcproxy.messages.split_rules import Part

Requester: TypeAlias = Action
"""One client of a shared connection, known there by the ticket of its events only: an event that is
queued with it is delivered to the client's session, and dropped when the session has ended."""


@dataclass(slots=True, eq=False)
class SplitRequest:
    """One request, from its requester to the last part of its answer."""

    requester: Requester | None
    """Gets the answer. None: the request was abandoned, and its answer will be dropped."""
    key: Hashable
    """The key that the parts of the answer contain. None: parts are matched by request order."""
    message: bytes
    """Without its framing."""
    encoded: bytes
    """The bytes that are sent to the server."""
    submitted_at: float
    """Engine time in seconds; so is `deadline`."""
    deadline: float
    sent: bool = False
    """Whether the request has been written to the server connection."""


class PartArrived(NamedTuple):
    """To a requester: a part of the answer to its request."""

    request: SplitRequest
    part: Part


class Unanswered(NamedTuple):
    """To a requester: its request will not be answered."""

    request: SplitRequest
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
