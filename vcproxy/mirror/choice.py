"""Choice: of the answers that several servers give, those that go to the client.

Servers are numbered; 0 is the primary. With a framing the i-th answers of all belong together, and
a rule decides on them as they come:

    first       whichever comes first
    every       all of them, in the order of the servers
    majority    what more than half of all servers say; nothing, if they cannot agree any more
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Protocol, TypeAlias

from vcproxy.mirror.comparison import OVERHEAD

Rule: TypeAlias = Callable[[Mapping[int, bytes], int, int], Sequence[bytes] | None]
"""Decides on what the servers have answered so far, given how many may still answer, and how many
there are at all. None: not yet."""


def first(answers: Mapping[int, bytes], missing: int, servers: int) -> Sequence[bytes] | None:
    """Take what came first."""
    return list(answers.values())[:1]


def every(answers: Mapping[int, bytes], missing: int, servers: int) -> Sequence[bytes] | None:
    """Take all, once nobody is missing."""
    return None if missing else [answers[who] for who in sorted(answers)]


def majority(answers: Mapping[int, bytes], missing: int, servers: int) -> Sequence[bytes] | None:
    """Take what more than half of all say, nothing if that cannot be reached any more."""
    [(answer, votes)] = Counter(answers.values()).most_common(1)
    if 2 * votes > servers:
        return [answer]
    return None if 2 * (votes + missing) > servers else []


class Choice(Protocol):
    """Takes what servers answer, and gives what goes to the client."""

    @property
    def due(self) -> float | None:
        """When `take` has to be asked again: somebody is late then."""

    @property
    def over(self) -> bool:
        """Whether nothing more will go to the client."""

    @property
    def without(self) -> int:
        """How many times there was no answer to give."""

    def heard(self, who: int, answer: bytes, now: float) -> None:
        """Take what a server answers."""

    def left(self, who: int, error: Exception | None) -> None:
        """A server answers nothing more, in order or for an error.

        Raises ConnectionError if the client would be left with a part of what it is due.
        """

    def full(self, who: int) -> bool:
        """Whether a server is too far ahead of the others to be heard for now."""

    def take(self, now: float) -> Sequence[bytes]:
        """Return what goes to the client now. Raises ConnectionError if there is no such thing."""


class WholeChoice:
    """Without a framing: the server that answers first has the whole connection."""

    __slots__ = ("_chosen", "_taken", "due", "over", "without")

    def __init__(self) -> None:
        self.due: float | None = None
        self.over = False
        self.without = 0
        self._chosen: int | None = None
        self._taken: list[bytes] = []

    def heard(self, who: int, answer: bytes, now: float) -> None:
        """See Choice."""
        if self._chosen is None:
            self._chosen = who
        if self._chosen == who:
            self._taken.append(answer)

    def left(self, who: int, error: Exception | None) -> None:
        """See Choice."""
        if who == (self._chosen or 0):
            if error is not None:
                raise ConnectionError(f"the server that answers the client has failed: {error}")
            self.over = True

    def full(self, who: int) -> bool:
        """See Choice."""
        return False

    def take(self, now: float) -> Sequence[bytes]:
        """See Choice."""
        taken, self._taken = self._taken, []
        return taken


@dataclass(slots=True)
class Ballot:
    """What the servers have answered in one place of the sequence."""

    until: float
    """When those that have not are late."""
    answers: dict[int, bytes] = field(default_factory=dict)


class MessageChoice:
    """With a framing: a rule decides on each answer, and they go to the client in order.

    Args:
        servers: how many there are, the primary included.
        timeout_s: how long an answer waits for those of the others; 0: as long as they are there.
        most: bytes by which a server may be ahead of what has been decided.
        unresolved: what the client gets where the rule gives nothing; None: it is closed.
    """

    __slots__ = (
        "_ballots", "_decided", "_given", "_left", "_most", "_rule", "_servers", "_timeout_s",
        "_waiting", "unresolved", "without",
    )  # fmt: skip

    def __init__(
        self, servers: int, rule: Rule, *, timeout_s: float, most: int, unresolved: bytes | None
    ) -> None:
        self._servers = servers
        self._rule = rule
        self._timeout_s = timeout_s or inf
        self._most = most
        self.unresolved = unresolved
        self.without = 0
        self._ballots: deque[Ballot] = deque()
        self._decided = 0  # the number of ballots[0] in the sequence of all
        self._given = [0] * servers  # answers
        self._waiting = [0] * servers  # bytes in ballots
        self._left = [False] * servers

    @property
    def due(self) -> float | None:
        """See Choice."""
        return self._ballots[0].until if self._ballots and self._timeout_s < inf else None

    @property
    def over(self) -> bool:
        """See Choice: the primary has left, and all that it has answered is decided."""
        return self._left[0] and self._given[0] <= self._decided

    def heard(self, who: int, answer: bytes, now: float) -> None:
        """See Choice. What is late is nobody's any more."""
        place = self._given[who] - self._decided
        self._given[who] += 1
        if place >= 0:
            if place == len(self._ballots):
                self._ballots.append(Ballot(now + self._timeout_s))
            self._ballots[place].answers[who] = answer
            self._waiting[who] += len(answer) + OVERHEAD

    def left(self, who: int, error: Exception | None) -> None:
        """See Choice."""
        self._left[who] = True

    def full(self, who: int) -> bool:
        """See Choice."""
        return self._waiting[who] >= self._most

    def take(self, now: float) -> Sequence[bytes]:
        """See Choice."""
        taken: list[bytes] = []
        while self._ballots and not self.over:
            ballot = self._ballots[0]
            missing = 0 if now >= ballot.until else self._missing()
            chosen = self._rule(ballot.answers, missing, self._servers)
            if chosen is None:
                break
            self._ballots.popleft()
            self._decided += 1
            for who, answer in ballot.answers.items():
                self._waiting[who] -= len(answer) + OVERHEAD
            taken += chosen or self._nothing()
        return taken

    def _missing(self) -> int:
        """How many servers may still answer in the place that is to be decided next."""
        servers = zip(self._given, self._left, strict=True)
        return sum(given <= self._decided and not left for given, left in servers)

    def _nothing(self) -> Sequence[bytes]:
        self.without += 1
        if self.unresolved is None:
            raise ConnectionError("no answer was given by more than half of the servers")
        return [self.unresolved]
