"""SplitCounts: what a shared connection has, and what it waits for, at one moment. A value.

Tested in tests/control/questions/test_rows.py.
"""

from __future__ import annotations

from typing import NamedTuple

from vcproxy.messages.pending_requests import PendingRequests
from vcproxy.messages.requesters import Requesters


class SplitCounts(NamedTuple):
    """The figures of a row of the question `splits`."""

    server: str
    """The name of the connection to the server; empty: there is none."""
    requesters: int
    """Clients that use it."""
    subscribed: int
    """Those of them that get what no request asks for."""
    waiting_for_room: int
    """Those of them that wait until they may submit more."""
    open: int
    """Requests that are neither answered nor past their deadline."""
    in_flight: int
    """Those of them that are at the server."""
    longest_s: float
    """How long the oldest of them waits."""
    abandoned: int
    """Requests at the server that have no requester any more."""
    held_back: int
    """Requests that wait for the next connection."""
    unsent_bytes: int
    """Bytes of requests that are not sent yet."""


def counts_of(
    pending: PendingRequests, requesters: Requesters, server: str, now: float
) -> SplitCounts:
    """Return the counts of a shared connection."""
    firsts = [next(iter(each), None) for each in (pending.sent, pending.unsent)]
    began = [each.submitted_at for each in firsts if each is not None]
    return SplitCounts(
        server=server,
        requesters=len(requesters),
        subscribed=requesters.subscribed,
        waiting_for_room=requesters.waiting,
        open=pending.open,
        in_flight=len(pending.sent),
        longest_s=now - min(began, default=now),
        abandoned=pending.abandoned,
        held_back=len(pending.exclusive.waiting),
        unsent_bytes=pending.unsent_bytes,
    )
