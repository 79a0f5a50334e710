"""Choice: which of the replies of several servers the client gets.

Servers are numbered; 0 is the primary. With a framing the i-th replies of all servers are compared
by a rule:

    first       the one that arrives first
    every       all of them, in the order of the servers
    majority    the one that more than half of all servers sent; none, if that is impossible
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Protocol, TypeAlias

from vcproxy.mirror.comparison import OVERHEAD

Rule: TypeAlias = Callable[[Mapping[int, bytes], int, int], Sequence[bytes] | None]
"""Arguments: the replies so far, by server; the number of servers that may still reply; the number
of all servers. Returns the replies for the client, or None: not decided yet."""


def first(replies: Mapping[int, bytes], missing: int, servers: int) -> Sequence[bytes] | None:
    """Choose the reply that arrived first."""
    return list(replies.values())[:1]


def every(replies: Mapping[int, bytes], missing: int, servers: int) -> Sequence[bytes] | None:
    """Choose all replies, once every server has replied."""
    return None if missing else [replies[server] for server in sorted(replies)]


def majority(replies: Mapping[int, bytes], missing: int, servers: int) -> Sequence[bytes] | None:
    """Choose the reply of more than half of all servers; none if that is impossible."""
    [(reply, votes)] = Counter(replies.values()).most_common(1)
    if 2 * votes > servers:
        return [reply]
    return None if 2 * (votes + missing) > servers else []


class Choice(Protocol):
    """Collects the replies of the servers, and returns those for the client."""

    @property
    def deadline(self) -> float | None:
        """The time at which `take` must be called again, because missing replies are then late."""

    @property
    def over(self) -> bool:
        """Whether there will be no more replies for the client."""

    @property
    def undecided(self) -> int:
        """How many times the rule chose no reply."""

    def add_reply(self, server: int, reply: bytes, now: float) -> None:
        """Add a reply of a server."""

    def server_ended(self, server: int, error: Exception | None) -> None:
        """Record the end of a server's replies; `error`: None for an orderly end.

        Raises ConnectionError if the client has received only a part of that server's replies.
        """

    def full(self, server: int) -> bool:
        """Whether a server is so far ahead of the others that it should not be read for now."""

    def take(self, now: float) -> Sequence[bytes]:
        """Return the replies for the client. Raises ConnectionError if the rule chose none and
        there is nothing to send instead."""


class ConnectionChoice:
    """Without a framing: the client gets all bytes of the server that replies first."""

    __slots__ = ("_chosen", "_taken", "deadline", "over", "undecided")

    def __init__(self) -> None:
        self.deadline: float | None = None
        self.over = False
        self.undecided = 0
        self._chosen: int | None = None
        self._taken: list[bytes] = []

    def add_reply(self, server: int, reply: bytes, now: float) -> None:
        """See Choice."""
        if self._chosen is None:
            self._chosen = server
        if self._chosen == server:
            self._taken.append(reply)

    def server_ended(self, server: int, error: Exception | None) -> None:
        """See Choice."""
        if server == (self._chosen or 0):
            if error is not None:
                raise ConnectionError(f"the server that responds to the client failed: {error}")
            self.over = True

    def full(self, server: int) -> bool:
        """See Choice."""
        return False

    def take(self, now: float) -> Sequence[bytes]:
        """See Choice."""
        taken, self._taken = self._taken, []
        return taken


@dataclass(slots=True)
class ReplySet:
    """The i-th replies of the servers."""

    deadline: float
    """The time at which missing replies are late."""
    replies: dict[int, bytes] = field(default_factory=dict)


class MessageChoice:
    """With a framing: a rule chooses each reply, and the client gets them in order.

    Args:
        servers: the number of servers, including the primary.
        timeout_s: how long a reply waits for those of the others; 0: until they have ended.
        limit: bytes of undecided replies that one server may have.
        unresolved: the reply for the client if the rule chooses none; None: the client is closed.
    """

    __slots__ = (
        "_decided", "_ended", "_limit", "_pending", "_received", "_rule", "_servers", "_timeout_s",
        "_waiting", "undecided", "unresolved",
    )  # fmt: skip

    def __init__(
        self, servers: int, rule: Rule, *, timeout_s: float, limit: int, unresolved: bytes | None
    ) -> None:
        self._servers = servers
        self._rule = rule
        self._timeout_s = timeout_s or inf
        self._limit = limit
        self.unresolved = unresolved
        self.undecided = 0
        self._pending: deque[ReplySet] = deque()
        self._decided = 0  # reply sets that have been decided
        self._received = [0] * servers  # number of replies, by server
        self._waiting = [0] * servers  # bytes in _pending, by server
        self._ended = [False] * servers

    @property
    def deadline(self) -> float | None:
        """See Choice."""
        return self._pending[0].deadline if self._pending and self._timeout_s < inf else None

    @property
    def over(self) -> bool:
        """See Choice: the primary has ended, and all its replies are decided."""
        return self._ended[0] and self._received[0] <= self._decided

    def add_reply(self, server: int, reply: bytes, now: float) -> None:
        """See Choice. A reply that is late is dropped."""
        place = self._received[server] - self._decided
        self._received[server] += 1
        if place >= 0:
            if place == len(self._pending):
                self._pending.append(ReplySet(now + self._timeout_s))
            self._pending[place].replies[server] = reply
            self._waiting[server] += len(reply) + OVERHEAD

    def server_ended(self, server: int, error: Exception | None) -> None:
        """See Choice."""
        self._ended[server] = True

    def full(self, server: int) -> bool:
        """See Choice."""
        return self._waiting[server] >= self._limit

    def take(self, now: float) -> Sequence[bytes]:
        """See Choice."""
        taken: list[bytes] = []
        while self._pending and not self.over:
            replies = self._pending[0]
            missing = 0 if now >= replies.deadline else self._missing()
            chosen = self._rule(replies.replies, missing, self._servers)
            if chosen is None:
                break
            self._pending.popleft()
            self._decided += 1
            for server, reply in replies.replies.items():
                self._waiting[server] -= len(reply) + OVERHEAD
            taken += chosen or self._fallback()
        return taken

    def _missing(self) -> int:
        """Return how many servers may still add a reply to the first pending set."""
        servers = zip(self._received, self._ended, strict=True)
        return sum(received <= self._decided and not ended for received, ended in servers)

    def _fallback(self) -> Sequence[bytes]:
        """Return the reply for the client if the rule chose none, or raise ConnectionError."""
        self.undecided += 1
        if self.unresolved is None:
            raise ConnectionError("no quorum: too few servers gave the same response")
        return [self.unresolved]
