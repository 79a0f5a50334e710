"""rate: how often requests are served, for each client, user, host, path, field or cookie.

Tested in tests/http/duties/test_rate.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from functools import cached_property, partial
from hashlib import blake2b
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import AfterValidator, BeforeValidator, Field, WrapSerializer

from vcproxy.admission.rate import Rate as BucketRate
from vcproxy.admission.rate import RateLimit, RateLimits
from vcproxy.config.errors import did_you_mean
from vcproxy.config.values import Duration, listed, positive
from vcproxy.engine.units import show_duration
from vcproxy.http.duties.duty import Duty, DutyPhases
from vcproxy.http.duties.refusal import refusal
from vcproxy.http.message.cookies import cookie
from vcproxy.http.message.grammar import is_token

if TYPE_CHECKING:
    from vcproxy.http.filters import PhaseResult
    from vcproxy.http.message.messages import Response
    from vcproxy.http.proxy.transaction import Transaction

KEYS: Final = ("client", "user", "host", "path", "all")
NAMED: Final = ("header", "cookie")

LONGEST: Final = 32
"""Characters of a key that is kept as it is. Of a longer one a digest is kept, so that the memory
of a table of buckets is bounded whatever clients send."""

_PREFIX = re.compile(r"/([0-9]{1,2})").fullmatch


def _for_each(text: str) -> str:
    kind, colon, name = text.partition(":")
    if colon and kind in NAMED and is_token(name.encode("latin-1", "replace")):
        return text
    length = _PREFIX(text)
    if text in KEYS or (length is not None and int(length[1]) <= 32):
        return text
    known = '"client", "user", "host", "path", "all", "header:NAME", "cookie:NAME" or a length'
    hint = did_you_mean(text, list(KEYS))
    raise ValueError(f'must be {known} from "/0" to "/32", not "{text}"{hint}')


@dataclass(frozen=True)
class RateRule:
    """How many requests are served for each key; more are answered by 429."""

    requests: Annotated[int, Field(ge=1)]
    """How many requests are served in the time `per`."""

    for_each: Annotated[str, AfterValidator(_for_each)] = "client"
    """What is counted together. "client": an IPv4 address, or an IPv6 /64, which is the least that
    a subscriber gets. "/24": the IPv4 networks of this length, and the IPv6 networks of twice this
    length. "header:NAME" and "cookie:NAME": the requests with the same value; those without are
    counted by client. "user": the user of `basic_auth` or `bearer`; "host"; "path", in canonical
    form; "all": all requests of this route, or listener."""

    per: Annotated[Duration, AfterValidator(positive)] = 1.0
    """The time for `requests`."""

    burst: Annotated[int, Field(ge=1)] | None = None
    """How many are served at once after a time without any. Absent: as many as `requests`."""

    @property
    def rate(self) -> BucketRate:
        """The rate of its buckets."""
        length = _PREFIX(self.for_each)
        prefix = int(length[1]) if length else 32
        text = f"{self.requests} per {show_duration(self.per)} for each {self.for_each}"
        if self.for_each == "all":
            text = f"{self.requests} per {show_duration(self.per)}"
        return BucketRate(prefix, self.requests, self.per, self.burst or self.requests, text)


@dataclass(frozen=True)
class Rates(Duty):
    """Rules that a request must all keep to."""

    rules: tuple[RateRule, ...]

    def phases(self) -> RatePhases:
        """See Duty."""
        return RatePhases(self)

    @cached_property
    def early(self) -> CountedRequests:
        """The rules that are checked before a password is. All net threads share the buckets."""
        return CountedRequests(each for each in self.rules if each.for_each != "user")

    @cached_property
    def late(self) -> CountedRequests:
        """The rules for users, which are not known earlier."""
        return CountedRequests(each for each in self.rules if each.for_each == "user")


class CountedRequests:
    """The buckets of some rules, and the keys of a request in each."""

    def __init__(self, rules: Iterable[RateRule]) -> None:
        found = list(rules)
        rates = [each.rate for each in found]
        self._limits = RateLimits(rates) if rates else None
        self._keys = [_key_of(each) for each in found]

    def refuse(self, tx: Transaction, now: float) -> Response | None:
        """Count a request; return the response to one that is too much."""
        if self._limits is None:
            return None
        exceeded = self._limits.take([key(tx) for key in self._keys], now)
        if exceeded is None:
            return None
        wait_s, rate = exceeded
        return refusal(429, f"too many requests: more than {rate.text}", retry_s=wait_s)


class RatePhases(DutyPhases):
    """Answers the requests that are too many."""

    options: Rates

    def request_head(self, tx: Transaction) -> PhaseResult:
        """See Phases."""
        return self.options.early.refuse(tx, self.now)

    def route(self, tx: Transaction) -> PhaseResult:
        """See Phases: the user is known by now."""
        return self.options.late.refuse(tx, self.now)


Key = Callable[["Transaction"], Hashable]
"""Returns the key of a request's bucket; None: the rule does not apply to it."""


def _key_of(rule: RateRule) -> Key:
    kind, _, name = rule.for_each.partition(":")
    if kind == "header":
        return partial(_by_header, name, RateLimit(rule.rate).key)
    if kind == "cookie":
        return partial(_by_cookie, name, RateLimit(rule.rate).key)
    if kind == "user":
        return lambda tx: _short(tx.user) if tx.user else None
    if kind == "host":
        return lambda tx: _short(tx.request.hostname)
    if kind == "path":
        return lambda tx: _short(tx.request.path)
    if kind == "all":
        return lambda tx: ""
    by_address = RateLimit(rule.rate).key
    return lambda tx: by_address(tx.client)


def _by_header(name: str, by_address: Callable[[str], Hashable], tx: Transaction) -> Hashable:
    value = tx.request.fields.get(name)
    return (by_address(tx.client),) if value is None else _short(value)


def _by_cookie(name: str, by_address: Callable[[str], Hashable], tx: Transaction) -> Hashable:
    value = cookie(tx.request.fields, name)
    return (by_address(tx.client),) if value is None else _short(value)


def _short(key: str) -> Hashable:
    if len(key) <= LONGEST:
        return key
    return blake2b(key.encode("latin-1", "replace"), digest_size=16).digest()


if TYPE_CHECKING:
    RateKey = Rates
else:
    RateKey = Annotated[
        tuple[RateRule, ...],
        BeforeValidator(listed),
        AfterValidator(Rates),
        WrapSerializer(lambda rates, handler: handler(rates.rules)),
    ]
"""One rule or a list of them, as `rate` has it in the file."""
