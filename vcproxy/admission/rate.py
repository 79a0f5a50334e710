"""RateLimit: how often something may happen for each client, by token buckets.

A bucket holds `burst` tokens and gets `requests` new ones in each `per`. One number is enough for
it: when it will be full again (the "virtual scheduling" of ITU-T I.371, 1993, also called GCRA). A
bucket that is full needs no number at all.

The table of buckets is bounded, and needs no clock of its own: it has two halves. What is used is
in the recent one. When a bucket takes at most `span_s` to fill and the halves change every
`span_s`, the older one has only full buckets at the next change, and is dropped. Under a flood of
addresses the halves change earlier, when the recent one is full. Then buckets that were not used
for the longest time are forgotten: their clients may use a whole burst again. A client that keeps
sending too much stays in the recent half.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

from vcproxy.admission.networks import number_of

MAX_BUCKETS = 32_768
"""Buckets in each half of a table. With both halves full of IPv4 addresses, a table takes 7 MiB
(measured)."""

EARLY_S = 1e-6
"""The time by which a token may be used early: rounding must not refuse the last of a burst."""

Keys = Sequence[Hashable]
"""The keys of the buckets of one client, one for each limit; None: the limit does not apply."""


@dataclass(frozen=True, slots=True)
class Rate:
    """How often something may happen, and who is counted as one client."""

    prefix: int | None
    """The length of the IPv4 networks that count as one client each; for IPv6, twice this length:
    32 stands for one IPv4 address or one IPv6 /64, which is what a subscriber gets at least
    (RFC 6177). None: all clients together, also those without an IP address."""
    requests: int
    """How many tokens a bucket gets in `per_s`."""
    per_s: float
    """Seconds."""
    burst: int
    """How many tokens a bucket holds."""

    text: str
    """The limit in words, as "100 per 1s for each client"."""


class RateLimit:
    """A rate, and the buckets of its clients."""

    __slots__ = ("_burst_s", "_changes_at", "_interval_s", "_older", "_recent", "rate", "span_s")

    def __init__(self, rate: Rate) -> None:
        self.rate = rate
        self._interval_s = rate.per_s / rate.requests
        self._burst_s = (rate.burst - 1) * self._interval_s + EARLY_S
        self.span_s = rate.burst * self._interval_s
        """Seconds in which an empty bucket becomes full."""
        self._recent: dict[Hashable, float] = {}
        self._older: dict[Hashable, float] = {}
        self._changes_at = 0.0

    @property
    def buckets(self) -> int:
        """The number of buckets that are kept."""
        return len(self._recent) + len(self._older)

    def key(self, address: str) -> Hashable:
        """Return the key of the bucket of a client; None: it is not limited.

        `address`: its IP address; "" if it has none, as at a Unix socket.
        """
        prefix = self.rate.prefix
        if prefix is None:
            return ""
        if not address:
            return None
        if ":" in address:
            return -(number_of(address) >> (128 - 2 * prefix)) - 1  # never equal to one of IPv4
        return address if prefix == 32 else number_of(address) >> (32 - prefix)

    def take(self, key: Hashable, now: float) -> float:
        """Take a token from a bucket; return 0, or the seconds until there is one."""
        recent = self._recent
        full_at = recent.get(key)
        if full_at is None:
            full_at = self._older.get(key, now)
            if len(recent) >= MAX_BUCKETS:
                self._changes_at = now
        if now >= self._changes_at:
            self._older = recent
            self._recent = recent = {}
            self._changes_at = now + self.span_s
        if full_at <= now:
            recent[key] = now + self._interval_s
            return 0.0
        wait_s = full_at - now - self._burst_s
        if wait_s > 0.0:
            recent[key] = full_at
            return wait_s
        recent[key] = full_at + self._interval_s
        return 0.0

    def give_back(self, key: Hashable) -> None:
        """Give back the token that was just taken."""
        full_at = self._recent.get(key)
        if full_at is not None:  # another thread may have changed the halves
            self._recent[key] = full_at - self._interval_s


class RateLimits:
    """Several limits: what happens must be within all of them.

    Args:
        rates: the rates.
        before: limits that these replace: the buckets of equal rates are kept.

    All net threads of a process share them. Two that use a bucket at the same time may take one
    token for two events: that is too little to pay for a lock.
    """

    __slots__ = ("_limits", "_sole")

    def __init__(self, rates: Iterable[Rate], before: RateLimits | None = None) -> None:
        kept = {} if before is None else {each.rate: each for each in before._limits}
        self._limits: Sequence[RateLimit] = tuple(
            kept.get(rate) or RateLimit(rate) for rate in rates
        )
        # Most often there is one limit, which needs no loop.
        self._sole = self._limits[0] if len(self._limits) == 1 else None

    def keys(self, address: str) -> Keys:
        """Return the keys of a client's buckets; `address`: see RateLimit.key."""
        sole = self._sole
        if sole is not None:
            return (sole.key(address),)
        return tuple(limit.key(address) for limit in self._limits)

    def take(self, keys: Keys, now: float) -> tuple[float, Rate] | None:
        """Take a token from each bucket of a client.

        None: there were some. Otherwise nothing is taken; return the seconds until there are
        tokens, and the rate that is exceeded.
        """
        sole = self._sole
        if sole is not None:
            (key,) = keys
            sole_wait_s = 0.0 if key is None else sole.take(key, now)
            return (sole_wait_s, sole.rate) if sole_wait_s else None
        for index, limit in enumerate(self._limits):
            key = keys[index]
            if key is not None and (wait_s := limit.take(key, now)):
                for other, before in zip(self._limits[:index], keys, strict=False):
                    if before is not None:
                        other.give_back(before)
                return wait_s, limit.rate
        return None

    def give_back(self, keys: Keys) -> None:
        """Give back the tokens that were just taken."""
        for limit, key in zip(self._limits, keys, strict=True):
            if key is not None:
                limit.give_back(key)
